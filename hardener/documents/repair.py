"""What `harden repair` does."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model

from hardener.documents.document import Run
from hardener.documents.identity import DataIdentity, Layer, ModelIdentity
from hardener.frozen import Frozen
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind


def relative_size_field(kind: TriggerKind) -> str:
    """Where a round holds the size of a family's smallest trigger that still works."""
    return f"{kind}_relative_size"


class _Round(Frozen):
    """One round of distilling and searching again, measured on the choosing images."""

    triggers: int
    """How many synthetic triggers it distilled on."""
    accuracy: float
    """On the clean images."""
    attack_success_rate: float
    """Of triggers found in another search than those it distilled on; of several targets the
    highest."""
    robust_accuracy: float
    """Under the same target's triggers."""
    strengthened_success_rate: float
    """Attack success rate of stronger versions of the same triggers; of several targets the
    highest."""
    strengthened_tries: int
    """How many stamped images that rate was measured on."""

    @property
    def relative_sizes(self) -> dict[TriggerKind, float]:
        """Of each family the smallest trigger that still works, beside the scan's median."""
        sizes = {kind: getattr(self, relative_size_field(kind)) for kind in FAMILIES}
        return {kind: size for kind, size in sizes.items() if size is not None}


def _sizes() -> Mapping[str, Any]:
    return {
        relative_size_field(kind): (
            float | None,
            Field(
                description=f"Smallest {family.noun} that still reaches a target label and works, "
                "as a fraction of the median of all labels in the scan; null where none works."
            ),
        )
        for kind, family in FAMILIES.items()
    }


if TYPE_CHECKING:

    class RepairRound(_Round):
        """A round with the fields that the families make, which a type checker cannot see."""

        def __init__(self, **fields: Any) -> None: ...  # noqa: ANN401

        def __getattr__(self, name: str) -> Any: ...  # noqa: ANN401  whatever the family says

else:
    RepairRound = create_model("RepairRound", __base__=_Round, __doc__=_Round.__doc__, **_sizes())


RepairOutcome = Literal["written", "nothing-found", "inconclusive", "over-budget", "attack-left"]


class RepairResult(Run):
    """What `harden repair` writes beside the repaired model."""

    model: ModelIdentity
    data: DataIdentity
    layer: Layer
    outcome: RepairOutcome
    """`written`, or why nothing was: the scan found nothing or was inconclusive; no round holds the
    accuracy budget on the choosing images, or the chosen one does not on the reporting images; or
    on those too much of the attack is left, or a small trigger still works."""
    targets: tuple[int, ...]
    """The labels whose triggers were unlearned."""
    rounds: tuple[RepairRound, ...] = ()
    """In order; the first is the model as it came."""
    chosen_round: int | None = None
    """Position in `rounds` of what was written."""
    images_used: int = 0
    """How many images it was fitted on."""
    chosen_on: int = 0
    """How many others the round was chosen on."""
    reported_on: int = 0
    """How many others the values before and after are measured on."""
    max_accuracy_drop: float
    max_attack_success: float
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    attack_success_rate_before: float | None = None
    """Of synthetic triggers that the model was not fitted on; of several targets the highest."""
    attack_success_rate_after: float | None = None
    """Of synthetic triggers that the model was not fitted on; of several targets the highest."""
    robust_accuracy_before: float | None = None
    robust_accuracy_after: float | None = None
    strengthened_success_rate_after: float | None = None
    """Of stronger versions of those triggers; of several targets the highest."""
    scan_success_rate_after: float | None = None
    """Attack success rate of the scan's triggers, of the family that made each target suspicious,
    which the model was fitted on; of several targets the highest."""
    within_budget: bool | None = None
    """Whether the accuracy lost on the reporting images is within the budget."""
    notes: tuple[str, ...] = ()
    """What has to be known of the model."""
    hardened: ModelIdentity | None = None
    """The file that was written; null if none was."""

    @property
    def plan(self) -> dict[str, object]:
        """What was done, as the hardened model's metadata say it."""
        return {"repair": "distillation", "targets": self.targets, "rounds": self.chosen_round}
