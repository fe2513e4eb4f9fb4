"""What every way of hardening a model tells."""

from hardener.documents.document import Run
from hardener.documents.identity import DataIdentity, Layer, ModelIdentity


class Hardening(Run):
    """What was measured before and after, and what was written."""

    model: ModelIdentity
    data: DataIdentity | None = None
    layer: Layer
    chosen_on: int = 0
    """How many images the choice was made on."""
    reported_on: int = 0
    """How many other images the values before and after are measured on."""
    max_accuracy_drop: float | None = None
    max_attack_success: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    attack_success_rate_before: float | None = None
    """Of synthetic triggers; of several targets the highest."""
    attack_success_rate_after: float | None = None
    """Of synthetic triggers; of several targets the highest."""
    robust_accuracy_before: float | None = None
    robust_accuracy_after: float | None = None
    within_budget: bool | None = None
    """Whether the lost accuracy is within the budget: of a pruning on the reporting images, of a
    repair on all that nothing was fitted on."""
    notes: tuple[str, ...] = ()
    """What has to be known of the model."""
    hardened: ModelIdentity | None = None
    """The file that was written; null if none was."""

    @property
    def has_trigger(self) -> bool:
        """Whether the scan has a trigger that tells what an attack keeps."""
        return True
