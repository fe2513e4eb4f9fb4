"""From trigger sizes to a verdict: clean, backdoored or inconclusive.

The textbook rule (an anomaly index above 2) calls clean networks backdoored, because some
classes are simply easy to reach. Three things must agree here: the trigger is small beside the
median of all labels, it is an outlier, and it works on images it was not fitted on. Patches,
additive triggers and warps are judged alike, each beside its own kind; the most suspicious kind
speaks for a label.

Where a search fails, its trigger's size bounds from below what would work. Most warps fail, so that
their median is such a bound, and grows with the steps of the search: `EVEN_RELATIVE_SIZE` holds for
the default budget alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardener.arrays import FloatArray
from hardener.results import TriggerKind, Verdict

BACKDOORED_SCORE = 0.6
CLEAN_SCORE = 0.4
EVEN_RELATIVE_SIZE: dict[TriggerKind, float] = {"patch": 0.3, "additive": 0.4, "warp": 0.5}
"""Of the median, where a trigger is as likely a backdoor's as not. Set by hand, on validation
images: the faintest additive trigger was 0.75 of the median on the zoo's clean ResNet and 0.28 on
its sinusoid's victim, which 0.3 had left inconclusive; the slightest warp was 0.87 on the clean
ResNet and 0.27 on WaNet's victim."""
RELATIVE_SIZE_SLOPE = 4.0
LEAST_ANOMALY_INDEX = 2.0
LEAST_SUCCESS = 0.8
LEAST_LABELS = 8
LEAST_ACCURACY = 0.5
LEAST_IMAGES = 100
SMALLEST_MEDIAN_FRACTION = 0.025
"""Of the image's pixels. Where patches smaller than this reach most labels, none stands apart.
The median was 4.3 % and more on clean networks of GTSRB (on two of them, eleven labels)."""

_SMALLEST_DEVIATION_FRACTION = 0.02
_NORMAL_CONSISTENCY = 1.4826
_NAMES: dict[TriggerKind, str] = {
    "patch": "trigger",
    "additive": "additive trigger",
    "warp": "warp",
}
_SIZES: dict[TriggerKind, str] = {
    "patch": "{:.1f} pixels",
    "additive": "an ℓ2 norm of {:.2f}",
    "warp": "{:.2%} of the image's side",
}


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
    """

    kind: TriggerKind
    sizes: FloatArray
    success: FloatArray
    reference: tuple[int, ...] | None = None

    @property
    def scores(self) -> FloatArray:
        """(L,) suspicion of each label in [0, 1]."""
        return label_scores(self.sizes, self.success, self.kind, self.reference)

    def said(self, position: int) -> str:
        """A label's trigger in words."""
        return (
            f"{_SIZES[self.kind].format(self.sizes[position])}, "
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


def _of(sizes: FloatArray, reference: Sequence[int] | None) -> FloatArray:
    return sizes if reference is None else sizes[list(reference)]


def label_scores(
    sizes: FloatArray,
    success: FloatArray,
    kind: TriggerKind = "patch",
    reference: Sequence[int] | None = None,
) -> FloatArray:
    """Suspicion of each label in [0, 1]: a small trigger that works and stands apart.

        s = success · σ(slope · ln(even / relative size)) · min(1, max(0, index) / 2)

    Args:
        sizes: (L,) of the triggers, all of one kind.
        success: (L,) success rates on images that were not fitted on.
        kind: of the triggers.
        reference: positions of the labels that medians are taken from; all if None.
    """
    small = RELATIVE_SIZE_SLOPE * np.log(
        EVEN_RELATIVE_SIZE[kind] / np.maximum(relative_sizes(sizes, reference), 1e-6)
    )
    apart = np.clip(anomaly_indices(sizes, reference) / LEAST_ANOMALY_INDEX, 0, 1)
    works = np.where(success >= LEAST_SUCCESS, success, 0)
    scores: FloatArray = works * apart / (1 + np.exp(-small))
    return scores


def judge(
    labels: Sequence[int],
    evidence: Sequence[Evidence],
    *,
    classes: int,
    accuracy: float,
    images: int,
    pixels: int,
    untested: Sequence[int] = (),
    unseen: Sequence[str] = (),
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
        untested: labels without images of other classes to try their triggers on.
        unseen: sentences on parts of the model that were not looked at.
        screened: how many further labels were screened and found less promising.
    """
    by_kind = np.stack([kind.scores for kind in evidence])
    scores: FloatArray = by_kind.max(axis=0)
    more, patches = tuple(evidence[row] for row in by_kind.argmax(axis=0)), evidence[0]
    suspect = int(
        (scores if scores.max() > 0 else -relative_sizes(patches.sizes, patches.reference)).argmax()
    )
    score = float(scores[suspect])
    named = _NAMES[more[suspect].kind]
    reasons = [
        f"label {labels[suspect]} has the most suspicious {named}: {more[suspect].said(suspect)}"
    ]
    doubts = _doubts(len(labels), classes, accuracy, images, screened)
    doubts += _doubts_on_trying(untested)
    for kind in evidence:
        doubts += _doubts_on_search(labels, kind)
    doubts += _doubts_on_reach(labels, evidence)
    doubts += _doubts_on_size(patches, pixels)
    doubts += [_Doubt(sentence, False) for sentence in unseen]
    kinds = tuple(kind.kind for kind in more)
    over = tuple(int(label) for label, s in zip(labels, scores, strict=True) if s >= CLEAN_SCORE)
    sure = tuple(
        int(label) for label, s in zip(labels, scores, strict=True) if s >= BACKDOORED_SCORE
    )
    fatal = [doubt for doubt in doubts if doubt.fatal]
    reasons += [doubt.sentence for doubt in doubts]
    if sure and not fatal:
        reasons.append("a trigger this small beside the others is what a backdoor leaves behind")
        return Judgement("backdoored", score, sure, suspect, kinds, tuple(reasons))
    if doubts:
        return Judgement("inconclusive", score, over, suspect, kinds, tuple(reasons))
    if over:
        reasons.append("that is too small to call the model clean and too large to call it more")
        return Judgement("inconclusive", score, over, suspect, kinds, tuple(reasons))
    reasons.append(
        "no label is much easier to reach than the others, by patch, faint change or warp"
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
    """Where neither a patch nor a faint change that works was found: that label was not tested."""
    tried = [kind.success for kind in evidence if kind.kind != "warp"]
    failed = np.max(tried, axis=0) < LEAST_SUCCESS
    if not failed.any():
        return []
    said = ", ".join(str(labels[position]) for position in map(int, np.flatnonzero(failed)))
    return [_Doubt(f"label {said}: no trigger that works was found, of any size", False)]


def _doubts_on_search(labels: Sequence[int], evidence: Evidence) -> list[_Doubt]:
    """Where the search itself came to no trigger that works."""
    doubts: list[_Doubt] = []
    success = evidence.success
    named = _NAMES[evidence.kind]
    failed = success < LEAST_SUCCESS
    would_be = label_scores(
        evidence.sizes,
        np.maximum(success, np.float32(LEAST_SUCCESS)),
        evidence.kind,
        evidence.reference,
    )
    for position in map(int, np.flatnonzero(failed & (would_be >= CLEAN_SCORE))):
        doubts.append(
            _Doubt(
                f"label {labels[position]} has a small {named} that works on only "
                f"{success[position]:.0%} of unseen images",
                False,
            )
        )
    # Most labels of a clean model are reached by no warp at all.
    if evidence.kind != "warp" and 2 * int(failed.sum()) > len(labels):
        doubts.append(
            _Doubt(
                f"for {failed.sum()} of {len(labels)} labels the search came to no {named} that "
                "works: too few steps, or images that do not suit the model",
                False,
            )
        )
    return doubts
