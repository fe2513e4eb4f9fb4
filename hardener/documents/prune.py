"""What `harden prune` does."""

from typing import Literal

from hardener.documents.hardening import Hardening
from hardener.documents.identity import Layer
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


class PruneResult(Hardening):
    """What `harden prune` writes beside the hardened model.

    With named channels there is no sweep, no data and no accuracy: those fields are null.
    """

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
