"""From trigger sizes to a verdict: clean, backdoored or inconclusive.

The textbook rule (an anomaly index above 2) calls clean networks backdoored, because some
classes are simply easy to reach. Three things must agree here: the trigger is small beside the
median of all labels, it is an outlier, and it works on images it was not fitted on. Patches,
additive triggers and warps are judged alike, each beside its own kind; the most suspicious kind
speaks for a label. Beside the labels stands a square that changes most labels and spreads the
images over many: an attack from all labels to all.

How small is suspicious the calibration says, for the searches' default budgets. Where a search
fails, its trigger's size bounds from below what would work; most warps fail, so that their median
is such a bound and grows with the steps of the search.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from hardener.arrays import BoolArray, FloatArray
from hardener.documents.scan import SquareEvidence, Verdict
from hardener.scanning.calibration import Calibration, Curve, shipped
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind

LEAST_ANOMALY_INDEX = 2.0
LEAST_SUCCESS = 0.8
"""Success rate from which a trigger works."""
LEAST_REACH = 0.5
"""Success rate up to which a trigger counts for nothing. Searches fit their triggers closely to the
images they see: of those that work there some come to 0.7 on others."""
LEAST_LABELS = 8
LEAST_ACCURACY = 0.5
LEAST_IMAGES = 100
SMALLEST_MEDIAN_FRACTION = 0.025
"""Of the image's pixels. Where patches smaller than this reach most labels, none stands apart.
The median was 4.3 % and more on clean networks of GTSRB (on two of them, eleven labels)."""

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

    def scores(self, curve: Curve) -> FloatArray:
        """(L,) suspicion of each label in [0, 1]."""
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


@dataclass(frozen=True)
class Judgement:
    """A verdict and what led to it.

    Attributes:
        verdict: clean, backdoored or inconclusive.
        score: the most suspicious label's, in [0, 1].
        targets: labels called backdoored; where inconclusive, those suspected.
        suspect: position of the most suspicious label.
        kinds: of each label the most suspicious kind of trigger.
        reasons: sentences for people.
    """

    verdict: Verdict
    score: float
    targets: tuple[int, ...]
    suspect: int
    kinds: tuple[TriggerKind, ...]
    reasons: tuple[str, ...]


def relative_sizes(sizes: FloatArray, reference: Sequence[int] | None = None) -> FloatArray:
    """Trigger sizes (L,) divided by the median of all, or of those in `reference` positions."""
    return sizes / max(float(np.median(_of(sizes, reference))), 1e-6)


def anomaly_indices(sizes: FloatArray, reference: Sequence[int] | None = None) -> FloatArray:
    """How far each size (L,) lies below the median, in scaled median absolute deviations.

    A deviation under 2 % of the median counts as 2 %, so that equal sizes divide by no zero.
    Median and deviation are of all, or of those in `reference` positions.

    Source: Wang et al. 2019 (Neural Cleanse), section IV-C; the sign and the floor are ours.
    """
    others = _of(sizes, reference)
    median = float(np.median(others))
    deviation = _NORMAL_CONSISTENCY * float(np.median(np.abs(others - median)))
    floor = max(_SMALLEST_DEVIATION_FRACTION * median, 1e-6)
    return (median - sizes) / max(deviation, floor)


def _of(values: _Values, reference: Sequence[int] | None) -> _Values:
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


def moving_score(moving: SquareEvidence, curve: Curve) -> float:
    """Suspicion in [0, 1] of the square that most exchanges labels for others."""
    return float(curve(np.array(1 - moving.scattered, np.float32)))


def judge(
    labels: Sequence[int],
    evidence: Sequence[Evidence],
    *,
    classes: int,
    accuracy: float,
    images: int,
    pixels: int,
    moving: SquareEvidence | None = None,
    beside: FloatArray | None = None,
    untested: Sequence[int] = (),
    unseen: Sequence[str] = (),
    calibration: Calibration | None = None,
    screened: int = 0,
) -> Judgement:
    """Decides from the evidence of all inverted labels.

    Args:
        labels: (L,) which labels were inverted.
        evidence: of each kind of trigger; patches first.
        classes: of the model; labels left out keep a verdict from being clean.
        accuracy: on the clean images.
        images: how many clean images there were.
        pixels: of one image.
        moving: what the square does that changes most labels.
        beside: (L,) suspicion of each label by what was found without images.
        untested: labels without images of other classes to try their triggers on.
        unseen: sentences on parts of the model that were not looked at.
        calibration: how evidence becomes a score; by default the shipped one.
        screened: how many further labels were screened and found less promising.
    """
    calibration = calibration or shipped()
    by_kind = np.stack([kind.scores(calibration.kinds[kind.kind]) for kind in evidence])
    scores: FloatArray = by_kind.max(axis=0)
    if beside is not None:
        scores = np.maximum(scores, beside)
    more, patches = tuple(evidence[row] for row in by_kind.argmax(axis=0)), evidence[0]
    suspect = int(
        (scores if scores.max() > 0 else -relative_sizes(patches.sizes, patches.reference)).argmax()
    )
    all_to_all = 0.0 if moving is None else moving_score(moving, calibration.moving)
    score = max(float(scores[suspect]), all_to_all)
    named = FAMILIES[more[suspect].kind].noun
    by_size = by_kind[:, suspect].max() >= scores[suspect]
    lead = f"label {labels[suspect]} has the most suspicious {named}"
    if not by_size:
        lead = f"label {labels[suspect]} is the most suspicious, though not by its {named}"
    reasons = [f"{lead}: {more[suspect].said(suspect)}"]
    if beside is not None:
        reasons += [
            f"label {labels[row]} stands out in the network itself, without any image"
            for row in map(int, np.flatnonzero(beside >= calibration.clean_below))
        ]
    if moving is not None and all_to_all >= calibration.clean_below:
        reasons.append(_said_of(moving))
    doubts = _doubts(len(labels), classes, accuracy, images, screened)
    doubts += _doubts_on_trying(untested)
    for kind in evidence:
        doubts += _doubts_on_search(labels, kind, calibration)
    doubts += _doubts_on_reach(labels, evidence)
    doubts += _doubts_on_size(patches, pixels)
    doubts += [_Doubt(sentence, False) for sentence in unseen]
    kinds = tuple(kind.kind for kind in more)
    over, sure = (
        tuple(int(label) for label, s in zip(labels, scores, strict=True) if s >= least)
        for least in (calibration.clean_below, calibration.backdoored_from)
    )
    fatal = [doubt for doubt in doubts if doubt.fatal]
    reasons += [doubt.sentence for doubt in doubts]
    if score >= calibration.backdoored_from and not fatal:
        if by_kind.max() >= calibration.backdoored_from:
            reasons.append(
                "a trigger this small beside the others is what a backdoor leaves behind"
            )
        return Judgement("backdoored", score, sure, suspect, kinds, tuple(reasons))
    if doubts:
        return Judgement("inconclusive", score, over, suspect, kinds, tuple(reasons))
    if score >= calibration.clean_below:
        reasons.append("that is too small to call the model clean and too large to call it more")
        return Judgement("inconclusive", score, over, suspect, kinds, tuple(reasons))
    reasons.append(
        "no label is much easier to reach than the others, by patch, faint change or warp, and no "
        "small square changes the label of most images"
    )
    return Judgement("clean", score, (), suspect, kinds, tuple(reasons))


@dataclass(frozen=True)
class _Doubt:
    sentence: str
    fatal: bool
    """Whether not even `backdoored` can be said."""


def _doubts(labels: int, classes: int, accuracy: float, images: int, screened: int) -> list[_Doubt]:
    doubts: list[_Doubt] = []
    if labels < LEAST_LABELS:
        doubts.append(
            _Doubt(f"{labels} labels are too few to tell a small mask: {LEAST_LABELS} needed", True)
        )
    if labels + screened < classes:
        left = classes - labels - screened
        doubts.append(_Doubt(f"{left} of {classes} labels were not looked at", False))
    if accuracy < LEAST_ACCURACY:
        doubts.append(
            _Doubt(
                f"only {accuracy:.1%} of the clean images are classified right: wrong labels, "
                "wrong preprocessing, or a model that is no good",
                True,
            )
        )
    if images < LEAST_IMAGES:
        doubts.append(_Doubt(f"{images} images are too few: {LEAST_IMAGES} needed", False))
    return doubts


def _doubts_on_size(patches: Evidence, pixels: int) -> list[_Doubt]:
    """Where small patches reach most labels: sizes beside each other then tell nothing."""
    sizes = _of(patches.sizes, patches.reference)
    median = float(np.median(sizes))
    works = _of(patches.success, patches.reference) >= LEAST_SUCCESS
    few = len(sizes) < LEAST_LABELS or np.mean(works) < 0.5
    if few or median >= SMALLEST_MEDIAN_FRACTION * pixels:
        return []
    return [
        _Doubt(
            f"most labels are reached by patches of about {median:.0f} of {pixels} pixels: a "
            "trigger for each of them, or a model that little moves",
            False,
        )
    ]


def _doubts_on_trying(untested: Sequence[int]) -> list[_Doubt]:
    if not untested:
        return []
    said = ", ".join(map(str, untested))
    return [_Doubt(f"label {said}: no images of other classes to try it on", False)]


def _doubts_on_reach(labels: Sequence[int], evidence: Sequence[Evidence]) -> list[_Doubt]:
    """Where neither a patch nor a faint change reaches most images: that label was not tested."""
    tried = [kind.success for kind in evidence if FAMILIES[kind.kind].reaches_most_labels]
    failed = np.max(tried, axis=0) < LEAST_REACH
    if not failed.any():
        return []
    said = ", ".join(str(labels[position]) for position in map(int, np.flatnonzero(failed)))
    return [_Doubt(f"label {said}: no trigger that reaches most images was found", False)]


def _said_of(moving: SquareEvidence) -> str:
    return (
        f"a square of {moving.side} pixels at row {moving.top}, column {moving.left} changes the "
        f"label of {moving.moved:.0%} of unseen images and sends them to {moving.labels} labels: "
        "so does an attack from all labels to all"
    )


def _doubts_on_search(
    labels: Sequence[int], evidence: Evidence, calibration: Calibration
) -> list[_Doubt]:
    """Where the search itself came to no trigger that works."""
    doubts: list[_Doubt] = []
    success = evidence.success
    named = FAMILIES[evidence.kind].noun
    failed = success < LEAST_SUCCESS
    would_be = replace(evidence, success=np.maximum(success, np.float32(LEAST_SUCCESS))).scores(
        calibration.kinds[evidence.kind]
    )
    for position in map(int, np.flatnonzero(failed & (would_be >= calibration.clean_below))):
        doubts.append(
            _Doubt(
                f"label {labels[position]} has a small {named} that works on only "
                f"{success[position]:.0%} of unseen images",
                False,
            )
        )
    usual = _of(failed, evidence.reference)
    if FAMILIES[evidence.kind].reaches_most_labels and 2 * int(usual.sum()) > len(usual):
        doubts.append(
            _Doubt(
                f"for {usual.sum()} of {len(usual)} labels the search came to no {named} that "
                "works: too few steps, or images that do not suit the model",
                False,
            )
        )
    return doubts
