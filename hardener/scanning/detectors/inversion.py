"""Triggers that gradient descent finds: a label that one reaches much easier is suspicious."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from hardener.arrays import FloatArray
from hardener.measuring.quality import Probe, measure
from hardener.progress import counting
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.evidence import (
    LEAST_LABELS,
    LEAST_REACH,
    LEAST_SUCCESS,
    Evidence,
    of_reference,
    relative_sizes,
)
from hardener.scanning.finding import Doubt, Finding, FoundTriggers
from hardener.scanning.innocents import OwnLooks, Weighed, own_looks_of, weighed
from hardener.scanning.label_search import TRYING_STAGE, stage_costs
from hardener.scanning.look import Look
from hardener.scanning.looked_for import FAINT, PATCHES, WARPS
from hardener.scanning.rows import evidence_of, label_rows
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import SyntheticTrigger, TriggerKind

SMALLEST_MEDIAN_FRACTION = 0.025
"""Of the image's pixels. Where patches smaller than this reach most labels, none stands apart.
The median was 4.3 % and more on clean networks of GTSRB (on two of them, eleven labels)."""


def inversion_finding(
    labels: Sequence[int],
    evidence: Sequence[Evidence],
    *,
    classes: int,
    pixels: int,
    calibration: Calibration,
    untested: Sequence[int] = (),
    screened: int = 0,
    triggers: Sequence[SyntheticTrigger] = (),
    own_looks: OwnLooks = MappingProxyType({}),
) -> Finding:
    """What the triggers of all searched labels say.

    Args:
        labels: (L,) which labels were searched.
        evidence: of each family of triggers; patches first.
        classes: of the model; labels left out keep a verdict from being clean.
        pixels: of one image.
        calibration: how evidence becomes a score.
        untested: labels without images of other classes to try their triggers on.
        screened: how many further labels were screened and found less promising.
        triggers: what was found, family after family, each by label.
        own_looks: of each family what labels' own images do, by positions among the L labels.
    """
    by_kind = _by_kind(labels, evidence, calibration, own_looks)
    scores_by_kind = np.stack([one.scores for one in by_kind])
    own: FloatArray = scores_by_kind.max(axis=0)
    scores = np.full(classes, np.nan, np.float32)
    scores[list(labels)] = own
    strongest = scores_by_kind.argmax(axis=0)
    position_of = {int(label): position for position, label in enumerate(labels)}
    patches = evidence[0]

    def said(label: int, suspicion: float) -> str:
        position = position_of[label]
        found = evidence[strongest[position]]
        named = FAMILIES[found.kind].noun
        lead = f"label {label} has the most suspicious {named}"
        if own[position] < suspicion:
            lead = f"label {label} is the most suspicious, though not by its {named}"
        return f"{lead}: {found.said(position)}"

    doubts = [
        *_doubts_on_labels(len(labels), classes, screened),
        *_doubts_on_calibration(evidence, calibration),
        *_doubts_on_trying(untested),
        *(doubt for one in evidence for doubt in _doubts_on_search(labels, one, calibration)),
        *_doubts_on_reach(labels, evidence),
        *_doubts_on_size(patches, pixels),
    ]
    undecided = [
        (position, said)
        for one in by_kind
        for position, said in one.why.items()
        if own[position] < calibration.backdoored_from
    ]
    *most, last = (FAMILIES[one.kind].title.lower() for one in evidence)
    return Finding(
        scores=scores,
        favour=f"no label is much easier to reach than the others, by {', '.join(most)} or {last}",
        closing="a trigger this small beside the others is what a backdoor leaves behind",
        doubts=tuple(doubts),
        said=tuple(said for _, said in undecided),
        undecided=tuple(labels[position] for position, _ in undecided),
        triggers=FoundTriggers(
            tuple(position_of),
            triggers,
            {
                label: triggers[int(strongest[position]) * len(labels) + position]
                for label, position in (position_of if triggers else {}).items()
            },
            labels[int(relative_sizes(patches.sizes, patches.reference).argmin())],
            said,
        ),
    )


def strongest_kinds(
    labels: Sequence[int],
    evidence: Sequence[Evidence],
    calibration: Calibration,
    own_looks: OwnLooks = MappingProxyType({}),
) -> tuple[TriggerKind, ...]:
    """Of each label (L,) the family of its most suspicious trigger."""
    by_kind = _by_kind(labels, evidence, calibration, own_looks)
    return tuple(evidence[row].kind for row in np.argmax([one.scores for one in by_kind], axis=0))


def _by_kind(
    labels: Sequence[int],
    evidence: Sequence[Evidence],
    calibration: Calibration,
    own_looks: OwnLooks,
) -> list[Weighed]:
    return [weighed(one, labels, own_looks.get(one.kind, {}), calibration) for one in evidence]


def _run(look: Look) -> Finding:
    classifier, labels = look.subject.classifier, look.source.labels
    found = look.found
    evidence = evidence_of(found, _success_rates(look, found.triggers))
    own_looks = {
        one.kind: own_looks_of(look, one, found.inverted[one.kind].triggers, shipped())
        for one in evidence
    }
    chosen = found.chosen
    finding = inversion_finding(
        chosen.labels,
        evidence,
        classes=classifier.signature.classes,
        pixels=int(np.prod(classifier.preprocessing.size)),
        calibration=shipped(),
        untested=[
            label for label in chosen.labels if not np.any(labels[look.samples.tried] != label)
        ],
        screened=len(chosen.screened_only),
        triggers=found.triggers,
        own_looks=own_looks,
    )
    kinds = strongest_kinds(chosen.labels, evidence, shipped(), own_looks)
    rows = label_rows(found, evidence, kinds, own_looks)
    return replace(finding, said=(*finding.said, *found.reasons), evidence={"labels": rows})


def _success_rates(look: Look, triggers: Sequence[SyntheticTrigger]) -> list[FloatArray]:
    """Of each family of triggers (L,) success rates on images that were not fitted on."""
    tried = look.samples.tried
    counts = measure(
        look.subject.classifier,
        look.subject.runner,
        look.source,
        {str(row): Probe((t,), t.label) for row, t in enumerate(triggers)},
        indices=tried,
        on_batch=counting(look.progress, TRYING_STAGE, len(tried)),
    )
    rates = np.array([count.success_rate for count in counts.values()], np.float32)
    return np.split(rates, len(FAMILIES))


def _costs(look: Look) -> Mapping[str, float]:
    return stage_costs(
        len(look.labels),
        look.subject.classifier.preprocessing,
        look.searches,
        len(look.samples.tried),
    )


def _doubts_on_labels(labels: int, classes: int, screened: int) -> list[Doubt]:
    doubts: list[Doubt] = []
    if labels < LEAST_LABELS:
        doubts.append(
            Doubt(f"{labels} labels are too few to tell a small mask: {LEAST_LABELS} needed", True)
        )
    if labels + screened < classes:
        left = classes - labels - screened
        doubts.append(Doubt(f"{left} of {classes} labels were not looked at"))
    return doubts


def _doubts_on_calibration(evidence: Sequence[Evidence], calibration: Calibration) -> list[Doubt]:
    return [
        Doubt(
            f"nothing says yet how small a {FAMILIES[one.kind].noun} is suspicious: what was found "
            "of them counts for nothing"
        )
        for one in evidence
        if one.kind not in calibration.kinds
    ]


def _doubts_on_size(patches: Evidence, pixels: int) -> list[Doubt]:
    """Where small patches reach most labels: sizes beside each other then tell nothing."""
    sizes = of_reference(patches.sizes, patches.reference)
    median = float(np.median(sizes))
    works = of_reference(patches.success, patches.reference) >= LEAST_SUCCESS
    few = len(sizes) < LEAST_LABELS or np.mean(works) < 0.5
    if few or median >= SMALLEST_MEDIAN_FRACTION * pixels:
        return []
    return [
        Doubt(
            f"most labels are reached by patches of about {median:.0f} of {pixels} pixels: a "
            "trigger for each of them, or a model that little moves"
        )
    ]


def _doubts_on_trying(untested: Sequence[int]) -> list[Doubt]:
    if not untested:
        return []
    said = ", ".join(map(str, untested))
    return [Doubt(f"label {said}: no images of other classes to try it on")]


def _doubts_on_reach(labels: Sequence[int], evidence: Sequence[Evidence]) -> list[Doubt]:
    """Where neither a patch nor a faint change reaches most images: that label was not tested."""
    tried = [kind.success for kind in evidence if FAMILIES[kind.kind].reaches_most_labels]
    failed = np.max(tried, axis=0) < LEAST_REACH
    if not failed.any():
        return []
    said = ", ".join(str(labels[position]) for position in map(int, np.flatnonzero(failed)))
    return [Doubt(f"label {said}: no trigger that reaches most images was found")]


def _doubts_on_search(
    labels: Sequence[int], evidence: Evidence, calibration: Calibration
) -> list[Doubt]:
    """Where the search itself came to no trigger that works."""
    doubts: list[Doubt] = []
    success = evidence.success
    named = FAMILIES[evidence.kind].noun
    failed = success < LEAST_SUCCESS
    would_be = replace(evidence, success=np.maximum(success, np.float32(LEAST_SUCCESS))).scores(
        calibration
    )
    for position in map(int, np.flatnonzero(failed & (would_be >= calibration.clean_below))):
        doubts.append(
            Doubt(
                f"label {labels[position]} has a small {named} that works on only "
                f"{success[position]:.0%} of unseen images"
            )
        )
    usual = of_reference(failed, evidence.reference)
    if FAMILIES[evidence.kind].reaches_most_labels and 2 * int(usual.sum()) > len(usual):
        doubts.append(
            Doubt(
                f"for {usual.sum()} of {len(usual)} labels the search came to no {named} that "
                "works: too few steps, or images that do not suit the model"
            )
        )
    return doubts


INVERSION = Detector(_run, (PATCHES, FAINT, WARPS), costs=_costs)
