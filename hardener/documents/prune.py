"""What `harden prune` does."""

from typing import Literal

from hardener.documents.document import Run
from hardener.documents.identity import DataIdentity, Layer, ModelIdentity
from hardener.frozen import Frozen


class SweepRow(Frozen):
    """What one threshold gives, in fractions of images."""

    threshold: float | None
    """Null for the model as it came."""
    channels_pruned: int
    """For a guard or clip how many channels exceed their limit on some triggered image."""
    accuracy: float
    attack_success_rate: float
    robust_accuracy: float


PruneOutcome = Literal[
    "written", "planned", "nothing-found", "inconclusive", "no-gain", "over-budget", "attack-left"
]


class PrunedConvolution(Frozen):
    """A convolution that a criterion looked at."""

    name: str
    """Name of the tensor that holds its channels: what the convolution gives or, where only a batch
    normalisation reads that, what the normalisation gives."""
    channels: int
    """How many it has."""
    pruned: tuple[int, ...]
    """Which of them are zero now."""


class PruneResult(Run):
    """What `harden prune` writes beside the hardened model.

    With named channels there is no sweep, no data and no accuracy: those fields are null.
    """

    model: ModelIdentity
    data: DataIdentity | None = None
    layer: Layer
    """The feature layer; where the criterion looked at one convolution alone, that convolution's
    channels."""
    outcome: PruneOutcome
    """`written` or, on a dry run, `planned`. Otherwise why nothing was written: the scan found
    nothing or was inconclusive, no threshold within the budget lowers the attack success rate, or
    on the reporting images the budget does not hold or too much of the attack is left."""
    criterion: str
    threshold: float | None = None
    """The threshold that was chosen, in activation units of the criterion's norm; by linf-quantile
    a quantile, by linf-ratio a multiple of the clean maximum."""
    rewrite: str
    channels: tuple[int, ...] = ()
    """Channels of that layer that are pruned for good; none for a guard or clip."""
    convolutions: tuple[PrunedConvolution, ...] = ()
    """What criteria that look at convolutions pruned of each."""
    limits: tuple[float, ...] = ()
    """One limit for each channel, in activation units: a guard zeroes the channel above it, a clip
    lowers activations to it. Empty where the threshold itself is the limit of all."""
    alarm: bool = False
    """Whether the model has the further output `hardener_alarm`."""
    sweep: tuple[SweepRow, ...] = ()
    chosen_on: int = 0
    """How many images the threshold was chosen on."""
    reported_on: int = 0
    """How many other images the values before and after are measured on."""
    max_accuracy_drop: float | None = None
    max_attack_success: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    attack_success_rate_before: float | None = None
    """Of the synthetic trigger; of several targets the highest."""
    attack_success_rate_after: float | None = None
    """Of the synthetic trigger; of several targets the highest."""
    robust_accuracy_before: float | None = None
    robust_accuracy_after: float | None = None
    within_budget: bool | None = None
    """Whether the accuracy lost on the reporting images is within the budget."""
    notes: tuple[str, ...] = ()
    """What has to be known of the model: outputs not looked at, ways around the layer."""
    hardened: ModelIdentity | None = None
    """The file that was written; null if none was."""

    @property
    def plan(self) -> dict[str, object]:
        """What was done, as the hardened model's metadata say it."""
        pruned = {one.name: one.pruned for one in self.convolutions if one.pruned}
        return {
            "layer": self.layer.name,
            "criterion": self.criterion,
            "threshold": self.threshold,
            "rewrite": self.rewrite,
            "channels": self.channels,
            **({"convolutions": pruned} if pruned else {}),
        }
