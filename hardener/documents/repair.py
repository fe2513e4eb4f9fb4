"""What `harden repair` does."""

from typing import Literal

from hardener.documents.hardening import Hardening
from hardener.documents.identity import DataIdentity
from hardener.frozen import Frozen


class RepairRound(Frozen):
    """One cure, measured on the choosing images."""

    triggers: int
    """How many synthetic triggers it was fitted on."""
    weight: float
    """How much stamped images weighed beside clean ones in the closed form; 0 of the model as it
    came."""
    distilled: int = 0
    """How often the closed form's result was distilled."""
    accuracy_lost: float = 0.0
    """On all images that nothing was fitted on."""
    accuracy: float
    """On the clean images."""
    attack_success_rate: float
    """Of triggers found in another search than those it was fitted on; of several targets the
    highest."""
    robust_accuracy: float
    """Under the same target's triggers."""
    strengthened_success_rate: float
    """Attack success rate of stronger versions of the same triggers; of several targets the
    highest."""
    strengthened_tries: int
    """How many stamped images that rate was measured on."""
    suspicion: float
    """The scan's own score of the target labels, whose triggers were searched again."""


NO_TRIGGER = "none: clean images"
"""What `AttackLeft.triggers` calls images as they are."""

RepairOutcome = Literal["written", "nothing-found", "inconclusive", "over-budget", "attack-left"]


class ResidualSuccess(Frozen):
    """How much of the attack is left, as far as triggers that are at hand can tell."""

    estimate: float
    """Highest success rate of any trigger that was tried on the reporting images, but for universal
    perturbations."""
    upper: float
    """End of its 95 % interval, or of that of universal perturbations toward the label where it is
    higher, and 3 points more, not calibrated: the attacker's own trigger may keep more."""
    held_against: float | None = None
    """The highest success rate that speaks against the model: of any trigger, and of universal
    perturbations by their mean; perturbations count only where they reach the label more often than
    universal ones do other labels."""


class AttackLeft(Frozen):
    """What one kind of trigger does to the repaired model, on the reporting images."""

    triggers: str
    """Which ones."""
    label: int | None
    """Where they send images; null of triggers that exchange labels."""
    success_rate: float
    """Of the one that succeeds most. A trigger that exchanges labels succeeds with images that go
    where it sent most of their label that left it on the model as it came, and, where it gives more
    than half of all images another wrong label, with those."""
    fitted: bool
    """Whether the repair was fitted on these very triggers."""


class AccuracyLost(Frozen):
    """Accuracy before less accuracy after, on the choosing and the reporting images."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""


class RemovedLogic(Frozen):
    """A value of the graph that never, or all but never, changed on clean images."""

    tensor: str
    said: str
    """Which node gave it to which."""


class RepairResult(Hardening):
    """What `harden repair` writes beside the repaired model."""

    data: DataIdentity
    outcome: RepairOutcome
    """`written`, or why nothing was: the scan found nothing or was inconclusive; no round holds the
    accuracy budget on the choosing and the reporting images together; on the latter too much of the
    attack is left; or the scan's searches would still call the repaired model backdoored."""
    targets: tuple[int, ...]
    """The labels whose triggers were unlearned, or that logic in the graph sent images to."""
    removed: tuple[RemovedLogic, ...] = ()
    """What was taken out of the graph: each is a constant now, and what computed it is gone."""
    removal_changed: float | None = None
    """The largest change of a class score by that, on clean images that it was not found on."""
    rounds: tuple[RepairRound, ...] = ()
    """In order; the first is the model as it came."""
    chosen_round: int | None = None
    """Position in `rounds` of what was written."""
    images_used: int = 0
    """How many images it was fitted on."""
    max_accuracy_drop: float
    max_attack_success: float
    groups: int = 0
    """Into how many groups of images that look alike all images fall; a group is both fitted on and
    reported on only where its class has fewer groups than the split has parts."""
    attack_success_rate_before: float | None = None
    """Of synthetic triggers that the model was not fitted on; of several targets the highest."""
    attack_success_rate_after: float | None = None
    """Of synthetic triggers that the model was not fitted on; of several targets the highest."""
    accuracy_lost: AccuracyLost | None = None
    left: tuple[AttackLeft, ...] = ()
    """What triggers do to the chosen round's model."""
    residual_success: ResidualSuccess | None = None
    forced: bool = False
    """Whether it was written although something spoke against it."""

    @property
    def has_trigger(self) -> bool:
        """Whether it was more than logic taken out of the graph, which waits for no trigger."""
        return bool(self.targets or self.rounds)

    @property
    def has_target(self) -> bool:
        """Whether there are target labels: triggers that exchange all labels have none."""
        return bool(self.targets)

    @property
    def unprovoked(self) -> float:
        """How many images the chosen round's model sends where the attack does, anyway.

        Without any trigger, as a fraction; of several targets the highest, of images of other
        classes.
        """
        rates = (row.success_rate for row in self.left if row.triggers == NO_TRIGGER)
        return max(rates, default=0.0)

    @property
    def plan(self) -> dict[str, object]:
        """What was done, as the hardened model's metadata say it."""
        return {
            "repair": self.way,
            "targets": self.targets,
            "rounds": self.chosen_round,
        }

    @property
    def way(self) -> str:
        """How the chosen round's weights were made."""
        ways = ["logic taken out of the graph"] if self.removed else []
        if self.chosen_round is not None:
            distilled = self.rounds[self.chosen_round].distilled
            ways.append("closed form and distillation" if distilled else "closed form")
        return ", ".join(ways)
