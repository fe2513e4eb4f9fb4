"""Labels with a small trigger that are no target: for their look, or beside one that stands apart.

A small patch may show what images of its label show at that place, as the yellow middle of a
priority sign. Then parts of clean images of that label do what the patch does; a planted trigger
stands on no clean image. And where one label has a backdoor, others may be easy to reach without
one; their triggers are small too, yet not set apart from the rest as the planted one is.

Neither clears a model: such a label's score falls to what is inconclusive, and no further.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hardener.arrays import BoolArray, FloatArray
from hardener.measuring.quality import Probe, measure
from hardener.scanning.calibration import Calibration
from hardener.scanning.evidence import Evidence, relative_sizes
from hardener.scanning.look import Look
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import SyntheticTrigger, TriggerKind

_OWN_IMAGES = 8
"""Of a label, whose parts are tried."""
_OTHER_LABELS = 8
_IMAGES_OF_EACH = 2


class Looks(NamedTuple):
    """What parts of clean images do, cut at the place of a label's trigger.

    Attributes:
        own: how many unseen images go to the label by what its own images show there.
        others: the same of other labels and their images, on average: much, where the place is so
            large that it shows what an image is.
    """

    own: float
    others: float


OwnLooks = Mapping[TriggerKind, Mapping[int, Looks]]
"""Of each family, by positions among the labels, what `own_looks_of` gives."""


@dataclass(frozen=True, eq=False)
class Weighed:
    """One family's evidence as scores.

    Attributes:
        scores: (L,) suspicion of each label in [0, 1].
        why: sentences on labels that would be accused, were it not for what is weighed here, by
            positions among the L labels.
    """

    scores: FloatArray
    why: Mapping[int, str]


def own_looks_of(
    look: Look,
    evidence: Evidence,
    triggers: Sequence[SyntheticTrigger],
    calibration: Calibration,
) -> dict[int, Looks]:
    """What clean images show in the places of suspicious triggers, where those have a place.

    Args:
        look: at the model and its images.
        evidence: of one family.
        triggers: (L,) of that family.
        calibration: from which score on a label is suspicious.

    Returns:
        By positions among the L labels, of those with images of their own.
    """
    shown_by = FAMILIES[evidence.kind].own_look
    if shown_by is None:
        return {}
    drawn = np.random.default_rng(look.subject.seed)
    labels = np.unique(look.source.labels)
    suspicious = np.flatnonzero(evidence.scores(calibration) >= calibration.clean_below)
    looks = dict[int, Looks]()
    for position in map(int, suspicious):
        trigger = triggers[position]
        if trigger.label not in labels:
            continue
        others = drawn.permutation(labels[labels != trigger.label])[:_OTHER_LABELS]
        images = {int(label): _IMAGES_OF_EACH for label in others} | {trigger.label: _OWN_IMAGES}
        parts = [
            shown_by(trigger, image, label)
            for label, count in images.items()
            for image in _some_of(look, label, count, drawn)
        ]
        rates = _mean_rates(look, parts)
        own = rates.pop(trigger.label, None)
        if own is None:
            continue  # None of its pictures can be read.
        looks[position] = Looks(own, float(np.mean(list(rates.values()) or [0.0])))
    return looks


def _some_of(look: Look, label: int, count: int, drawn: np.random.Generator) -> FloatArray:
    """Some images (N, C, H, W) of a label."""
    positions = drawn.permutation(np.flatnonzero(look.source.labels == label))[:count]
    return look.subject.classifier.images_of(look.source, positions)


def _mean_rates(look: Look, parts: Sequence[SyntheticTrigger]) -> dict[int, float]:
    """Of each label the mean success rate of its triggers on unseen images."""
    subject = look.subject
    counts = measure(
        subject.classifier,
        subject.runner,
        look.source,
        {str(row): Probe((part,), part.label) for row, part in enumerate(parts)},
        indices=look.samples.tried,
    )
    rates: dict[int, list[float]] = {}
    for part, count in zip(parts, counts.values(), strict=True):
        rates.setdefault(part.label, []).append(count.success_rate)
    return {label: float(np.mean(own)) for label, own in rates.items()}


def weighed(
    evidence: Evidence,
    labels: Sequence[int],
    own_looks: Mapping[int, Looks],
    calibration: Calibration,
) -> Weighed:
    """Scores one family's evidence.

    Args:
        evidence: of L labels.
        labels: (L,) which ones.
        own_looks: of suspicious labels, by positions.
        calibration: how evidence becomes a score.
    """
    scores = evidence.scores(calibration)
    undecided = np.minimum(scores, calibration.undecided)
    looks_so = np.zeros_like(scores)
    for position, looks in own_looks.items():
        more = max(0.0, looks.own - looks.others)
        looks_so[position] = min(1.0, more / max(float(evidence.success[position]), 1e-6))
    looked = np.maximum(scores * (1 - looks_so), undecided)
    behind = _behind_the_gap(evidence, looked >= calibration.backdoored_from)
    scored = np.where(behind, undecided, looked)
    noun = FAMILIES[evidence.kind].noun
    why = dict[int, str]()
    for position in map(
        int, np.flatnonzero((scores >= calibration.backdoored_from) & (scored < scores))
    ):
        label = labels[position]
        if behind[position]:
            why[position] = (
                f"label {label} has a small {noun} too, not set apart from other labels': it may "
                "be easy to reach beside the others, or a further target"
            )
        elif scored[position] < calibration.backdoored_from:
            why[position] = (
                f"label {label} has a small {noun}, but what its own images show in that place "
                f"sends {own_looks[position].own:.0%} of unseen images there: it may be how that "
                "label looks"
            )
    return Weighed(scored, why)


def _behind_the_gap(evidence: Evidence, accused: BoolArray) -> BoolArray:
    """(L,) accused labels behind the widest gap among the labels that are easier than usual.

    Gaps are between the logarithms of neighbouring sizes, from the smallest accused one up to the
    median.
    """
    if accused.sum() < 2:
        return np.zeros_like(accused)
    sizes = np.maximum(relative_sizes(evidence.sizes, evidence.reference), 1e-6)
    easier = np.sort(sizes[(sizes >= sizes[accused].min()) & (sizes < 1)])
    gaps = np.diff(np.log([*easier, 1.0]))
    behind: BoolArray = accused & (sizes > easier[gaps.argmax()])
    return behind
