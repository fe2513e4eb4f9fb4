"""How suspicious the triggers are that searches found, by their sizes and by how well they work.

The textbook rule (an anomaly index above 2) calls clean networks backdoored, because some classes
are simply easy to reach. Three things must agree here: the trigger is small beside the median of
all labels, it is an outlier, and it works on images it was not fitted on. All families are judged
alike, each beside its own kind; the most suspicious one speaks for a label.

How small is suspicious the calibration says, for the searches' default budgets. Where a search
fails, its trigger's size bounds from below what would work; most warps fail, so that their median
is such a bound and grows with the steps of the search.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hardener.arrays import BoolArray, FloatArray
from hardener.scanning.calibration import Calibration, Curve
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind

LEAST_ANOMALY_INDEX = 2.0
LEAST_SUCCESS = 0.8
"""Success rate from which a trigger works."""
LEAST_REACH = 0.5
"""Success rate up to which a trigger counts for nothing. Searches fit their triggers closely to the
images they see: of those that work there some come to 0.7 on others."""
LEAST_LABELS = 8
"""With fewer no label stands apart from the others."""

_Values = TypeVar("_Values", FloatArray, BoolArray)

_SMALLEST_DEVIATION_FRACTION = 0.02
_NORMAL_CONSISTENCY = 1.4826


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the search for one kind of trigger gave.

    Attributes:
        kind: of trigger.
        sizes: (L,) of each label's trigger: pixels of a patch, ℓ2 norm of a perturbation, root
            mean square of a warp's displacements as a fraction of the image's side.
        success: (L,) success rates on images that were not fitted on.
        reference: positions of the labels from which alone medians and deviations are taken; all
            if None. Labels that were chosen because they are easy to reach would bias them.
        unsolved: positions of the labels whose search stopped, because others came further, before
            anything worked: their triggers, sizes and success say nothing.
    """

    kind: TriggerKind
    sizes: FloatArray
    success: FloatArray
    reference: tuple[int, ...] | None = None
    unsolved: tuple[int, ...] = ()

    def scores(self, calibration: Calibration) -> FloatArray:
        """(L,) suspicion of each label in [0, 1]; none of a kind that was never calibrated."""
        curve = calibration.kinds.get(self.kind)
        return np.zeros_like(self.sizes) if curve is None else self.scores_by(curve)

    def scores_by(self, curve: Curve) -> FloatArray:
        """(L,) suspicion of each label in [0, 1] by a curve over relative sizes."""
        found = curve(relative_sizes(self.sizes, self.reference)) * weights(
            self.sizes, self.success, self.reference
        )
        found[list(self.unsolved)] = 0
        return found

    def said(self, position: int) -> str:
        """A label's trigger in words."""
        return (
            f"{FAMILIES[self.kind].size_said.format(self.sizes[position])}, "
            f"{relative_sizes(self.sizes, self.reference)[position]:.2f} of the median, anomaly "
            f"index {anomaly_indices(self.sizes, self.reference)[position]:.1f}, and it sends "
            f"{self.success[position]:.0%} of unseen images there"
        )


def relative_sizes(sizes: FloatArray, reference: Sequence[int] | None = None) -> FloatArray:
    """Trigger sizes (L,) divided by the median of all, or of those in `reference` positions."""
    return sizes / max(float(np.median(of_reference(sizes, reference))), 1e-6)


def anomaly_indices(sizes: FloatArray, reference: Sequence[int] | None = None) -> FloatArray:
    """How far each size (L,) lies below the median, in scaled median absolute deviations.

    A deviation under 2 % of the median counts as 2 %, so that equal sizes divide by no zero.
    Median and deviation are of all, or of those in `reference` positions.

    Source: Wang et al. 2019 (Neural Cleanse), section IV-C; the sign and the floor are ours.
    """
    others = of_reference(sizes, reference)
    median = float(np.median(others))
    deviation = _NORMAL_CONSISTENCY * float(np.median(np.abs(others - median)))
    floor = max(_SMALLEST_DEVIATION_FRACTION * median, 1e-6)
    return (median - sizes) / max(deviation, floor)


def of_reference(values: _Values, reference: Sequence[int] | None) -> _Values:
    """Those values (L,) that medians and deviations are taken from; all if `reference` is None."""
    return values if reference is None else values[list(reference)]


def weights(
    sizes: FloatArray, success: FloatArray, reference: Sequence[int] | None = None
) -> FloatArray:
    """What the score of a small trigger counts: does it work, and does it stand apart?

        success · ramp(success) · min(1, max(0, anomaly index) / 2)

    where the ramp rises from 0 at a success rate of 0.5 to 1 at 0.8.

    Args:
        sizes: (L,) of the triggers, all of one kind.
        success: (L,) success rates on images that were not fitted on.
        reference: positions of the labels that medians are taken from; all if None.

    Returns:
        (L,) in [0, 1].
    """
    apart = np.clip(anomaly_indices(sizes, reference) / LEAST_ANOMALY_INDEX, 0, 1)
    ramp = np.clip((success - LEAST_REACH) / (LEAST_SUCCESS - LEAST_REACH), 0, 1)
    found: FloatArray = success * ramp * apart
    return found
