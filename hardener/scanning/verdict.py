"""From the findings of all detectors to a verdict: clean, backdoored or inconclusive.

A label is as suspicious as the finding that accuses it most says, the model as its most suspicious
label or as an attack that has no target. What was read off the network and tried on no image
accuses a label only beside a trigger of its own that is suspicious; alone it leaves the verdict
inconclusive. What nobody looked at, or what failed, keeps the verdict from being clean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardener.arrays import FloatArray
from hardener.documents.scan import DetectorFinding, Verdict
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.finding import WEAK_ALONE, Doubt, Finding, FoundTriggers

LEAST_ACCURACY = 0.5
LEAST_IMAGES = 100


@dataclass(frozen=True, eq=False)
class Suspicion:
    """What all findings together say.

    Attributes:
        scores: (K,) of each label, NaN of labels whose triggers were not searched.
        untried: (K,) of each label by what was tried on no image.
        score: of the most suspicious label, or of an attack without a target label.
        suspect: the most suspicious label.
        triggers: what was searched; None where nothing was.
    """

    scores: FloatArray
    untried: FloatArray
    score: float
    suspect: int
    triggers: FoundTriggers | None


@dataclass(frozen=True)
class Judgement:
    """A verdict and what led to it.

    Attributes:
        verdict: clean, backdoored or inconclusive.
        score: in [0, 1]; higher is more suspicious.
        targets: labels called backdoored; where inconclusive, those suspected.
        suspect: the most suspicious label.
        reasons: sentences for people.
    """

    verdict: Verdict
    score: float
    targets: tuple[int, ...]
    suspect: int
    reasons: tuple[str, ...]


def weigh(findings: Sequence[Finding], calibration: Calibration | None = None) -> Suspicion:
    """Puts findings together.

    Args:
        findings: of which at least one judges labels.
        calibration: from which score on a trigger is suspicious; by default the shipped one.
    """
    calibration = calibration or shipped()
    judged = [finding for finding in findings if finding.scores is not None]
    triggers = next((one.triggers for one in judged if one.triggers is not None), None)
    untried = _highest([one for one in judged if one.untried])
    tried = _highest([one for one in judged if not one.untried])
    # Networks that other people trained, without a backdoor, stand out as much as any victim by
    # what was tried on no image.
    alone = np.minimum(untried, calibration.undecided)
    beside_a_trigger = tried >= calibration.clean_below
    beside_a_trigger[[label for one in findings for label in one.undecided]] = False
    scores = np.fmax(tried, np.where(beside_a_trigger, untried, alone))
    if triggers is not None:
        searched = np.isin(np.arange(len(scores)), triggers.labels)
        scores = np.where(searched, scores, np.float32(np.nan))
    highest = float(np.nanmax(scores))
    suspect = int(np.nanargmax(scores))
    if triggers is not None and highest <= 0:
        suspect = triggers.easiest
    return Suspicion(
        scores=scores,
        untried=untried,
        score=max([highest, *(finding.whole or 0.0 for finding in findings)]),
        suspect=suspect,
        triggers=triggers,
    )


def judge(
    findings: Sequence[Finding],
    suspicion: Suspicion,
    doubts: Sequence[Doubt] = (),
    calibration: Calibration | None = None,
) -> Judgement:
    """Decides.

    Args:
        findings: what the detectors saw.
        suspicion: the same, as `weigh` puts it together.
        doubts: what could not be looked at, beside what the findings say themselves.
        calibration: from which score on a label is suspicious; by default the shipped one.
    """
    calibration = calibration or shipped()
    doubts = [
        *(doubt for finding in findings for doubt in finding.doubts),
        *doubts,
        *_accused_unsearched(suspicion, calibration),
    ]
    on_labels = [
        *_on_the_suspect(suspicion),
        *_on_labels(findings, suspicion, calibration),
        *_on_weak_evidence(suspicion, calibration),
    ]
    against = [sentence for finding in findings for sentence in finding.against]
    # What decides comes first: an attack without a target label leaves an innocent suspect.
    whole = suspicion.score > float(np.nanmax(suspicion.scores))
    reasons = [
        *(against if whole else on_labels),
        *(on_labels if whole else against),
        *(doubt.sentence for doubt in doubts),
    ]
    score, suspect = suspicion.score, suspicion.suspect
    fatal = any(doubt.fatal for doubt in doubts)
    if score >= calibration.backdoored_from and not fatal:
        targets = _from(suspicion, calibration.backdoored_from)
        reasons += _closing(findings, targets, calibration)
        return Judgement("backdoored", score, targets, suspect, tuple(reasons))
    if doubts or score >= calibration.clean_below:
        if not doubts:
            reasons.append(
                "that is too small to call the model clean and too large to call it more"
            )
        # What was only read off the network and tried on no image is not named as a target.
        over = _from(suspicion, calibration.clean_below) if suspicion.triggers else ()
        return Judgement("inconclusive", score, over, suspect, tuple(reasons))
    reasons.append(", and ".join(finding.favour for finding in findings if finding.favour))
    return Judgement("clean", score, (), suspect, tuple(reasons))


def told(name: str, finding: Finding, calibration: Calibration | None = None) -> DetectorFinding:
    """A finding as `scan.json` tells it, with the verdict that it alone would lead to.

    Args:
        name: of the detector.
        finding: what it saw.
        calibration: from which score on a label is suspicious; by default the shipped one.
    """
    calibration = calibration or shipped()
    scores = np.zeros(0) if finding.scores is None else np.nan_to_num(finding.scores)
    accused = map(int, np.flatnonzero(scores >= calibration.clean_below))
    score = float(scores.max(initial=0))
    if finding.untried:
        score = min(score, calibration.undecided)
    score = max(score, finding.whole or 0.0)
    against = [
        f"label {label} {finding.accuses}"
        if finding.triggers is None
        else finding.triggers.said(label, float(scores[label]))
        for label in accused
    ]
    judges = finding.scores is not None or finding.whole is not None
    verdict: Verdict = "clean"
    if score >= calibration.backdoored_from and not any(one.fatal for one in finding.doubts):
        verdict = "backdoored"
    elif finding.doubts or score >= calibration.clean_below or not judges:
        verdict = "inconclusive"
    return DetectorFinding(
        detector=name,
        verdict=verdict,
        against=(*against, *finding.against),
        favour=(finding.favour,) if finding.favour and verdict == "clean" else (),
        doubts=tuple(doubt.sentence for doubt in finding.doubts),
        details=dict(finding.details),
    )


def doubts_on_images(accuracy: float, images: int) -> list[Doubt]:
    """Whether the model knows the images, and whether they are enough.

    Args:
        accuracy: on the clean images.
        images: how many there are.
    """
    doubts: list[Doubt] = []
    if accuracy < LEAST_ACCURACY:
        doubts.append(
            Doubt(
                f"only {accuracy:.1%} of the clean images are classified right: wrong labels, "
                "wrong preprocessing, or a model that is no good",
                fatal=True,
            )
        )
    if images < LEAST_IMAGES:
        doubts.append(Doubt(f"{images} images are too few: {LEAST_IMAGES} needed"))
    return doubts


def _highest(findings: Sequence[Finding]) -> FloatArray:
    """(K,) the highest score of each label; 0 where nobody judges labels."""
    scores = [finding.scores for finding in findings if finding.scores is not None]
    if not scores:
        return np.zeros(1, np.float32)
    highest: FloatArray = np.fmax.reduce(scores)
    return highest


def _from(suspicion: Suspicion, least: float) -> tuple[int, ...]:
    """Labels whose score is so high."""
    return tuple(map(int, np.flatnonzero(suspicion.scores >= least)))


def _on_the_suspect(suspicion: Suspicion) -> list[str]:
    if suspicion.triggers is None:
        return []
    suspect = suspicion.suspect
    return [suspicion.triggers.said(suspect, float(suspicion.scores[suspect]))]


def _on_labels(
    findings: Sequence[Finding], suspicion: Suspicion, calibration: Calibration
) -> list[str]:
    """What is said of labels with a high score, each thing once for all who say it."""
    return [
        f"label {label} {said}"
        for said in dict.fromkeys(one.accuses for one in findings if one.accuses)
        for label in map(
            int,
            np.flatnonzero(
                _highest([one for one in findings if one.accuses == said])
                >= calibration.clean_below
            ),
        )
        if not np.isnan(suspicion.scores[label])
    ]


def _on_weak_evidence(suspicion: Suspicion, calibration: Calibration) -> list[str]:
    """Where a label would be accused, were it by more than what was tried on no image."""
    found = np.nan_to_num(suspicion.scores) < suspicion.untried
    if (found & (suspicion.untried >= calibration.backdoored_from)).any():
        return [WEAK_ALONE]
    return []


def _accused_unsearched(suspicion: Suspicion, calibration: Calibration) -> list[Doubt]:
    accused = np.isnan(suspicion.scores) & (
        np.broadcast_to(suspicion.untried, suspicion.scores.shape) >= calibration.clean_below
    )
    return [
        Doubt(f"label {label} stands out in the network itself and its triggers were not searched")
        for label in map(int, np.flatnonzero(accused))
    ]


def _closing(
    findings: Sequence[Finding], targets: Sequence[int], calibration: Calibration
) -> list[str]:
    """What the first finding that calls a target backdoored says of that."""
    closings = [
        finding.closing
        for finding in findings
        if finding.closing
        and (
            (finding.whole or 0.0) >= calibration.backdoored_from
            or (
                finding.scores is not None
                and (finding.scores[list(targets)] >= calibration.backdoored_from).any()
            )
        )
    ]
    return closings[:1]
