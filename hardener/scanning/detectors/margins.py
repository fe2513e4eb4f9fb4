"""A label that gets further ahead of all others than any label should: needs no images."""

from collections.abc import Mapping
from math import log10

import numpy as np

from hardener.documents.scan import MarginEvidence
from hardener.errors import InconclusiveError
from hardener.progress import counting
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.evidence import LEAST_LABELS
from hardener.scanning.finding import Doubt, Finding
from hardener.scanning.look import Look
from hardener.scanning.margins import (
    MARGINS,
    AscentSettings,
    largest_margins,
    p_value,
    within_budget,
)

STANDS_OUT = "stands out in the network itself, without any image"
"""What is said of a label that no image was needed to accuse."""
LEFT_BEHIND = (
    "a label that stands out so far in the network itself is what a backdoor leaves behind"
)

_STAGE = "searching margins"
_SMALLEST_P_VALUE = 1e-30


def margin_finding(
    margins: MarginEvidence | None, classes: int, calibration: Calibration, said: str = ""
) -> Finding:
    """What the labels' largest margins say.

    Args:
        margins: they; None where the search met values that are not finite.
        classes: of the model.
        calibration: how a p-value becomes a score.
        said: a sentence on them.
    """
    if margins is None:
        return Finding(said=(said,), doubts=(Doubt("margins were not measured"),))
    scores = np.zeros(classes, np.float32)
    if margins.p_value is not None:
        quantity = np.array(margin_quantity(margins.p_value), np.float32)
        scores[margins.suspect] = calibration.margin(quantity)
    return Finding(
        scores=scores,
        accuses=STANDS_OUT,
        closing=LEFT_BEHIND,
        said=(said,),
        evidence={"margins": margins},
    )


def margin_quantity(p_value: float) -> float:
    """What the margin's curve is over: 1 for a p-value of 1, near 0 for tiny ones."""
    return 1 / (1 - log10(max(p_value, _SMALLEST_P_VALUE)))


def _run(look: Look) -> Finding:
    """Searches every label's largest margin.

    Raises:
        InconclusiveError: the search met values that are not finite, and there is nothing else to
            go by.
    """
    classifier = look.subject.classifier
    classes, settings = classifier.signature.classes, _settings(look)
    try:
        largest = largest_margins(
            look.network,
            classifier.preprocessing,
            classes,
            settings,
            look.subject.seed,
            counting(look.progress, _STAGE, settings.steps * classes),
            look.device,
        )
    except InconclusiveError as error:
        if look.subject.source is None:
            raise InconclusiveError(f"{error}: nothing can be said without images") from error
        return margin_finding(None, classes, shipped(), str(error))
    p, suspect = p_value(largest), int(largest.argmax())
    evidence = MarginEvidence(
        largest=tuple(float(margin) for margin in largest), suspect=suspect, p_value=p
    )
    said = (
        f"on images made for it, without data, label {suspect} gets furthest ahead of the others: "
        f"by {largest[suspect]:.1f}, where the median label gets {float(np.median(largest)):.1f}"
    )
    if settings.steps < MARGINS.steps:
        said += f" in {settings.steps} steps, all that so many labels leave time for"
    said += (
        f"; too few labels lead anywhere to test that: {LEAST_LABELS} needed"
        if p is None
        else f" (p-value {p:.1e})"
    )
    return margin_finding(evidence, classes, shipped(), said)


def _settings(look: Look) -> AscentSettings:
    """How long the model's labels climb, within the budget."""
    values = int(np.prod(look.samples.fitted.shape[1:]))
    return within_budget(MARGINS, look.subject.classifier.signature.classes, values)


def _costs(look: Look) -> Mapping[str, float]:
    settings = _settings(look)
    labels = look.subject.classifier.signature.classes
    return {_STAGE: 2.5 * labels * settings.starts * settings.steps}


MARGIN = Detector(_run, needs_images=False, costs=_costs)
