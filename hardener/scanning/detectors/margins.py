"""How far each label can get ahead of all others: evidence that needs no images.

A backdoor teaches a network to answer with its target whatever else an image shows. On some inputs
its target therefore leads by more than any label does that was learnt from images alone. Of each
label c the largest lead

    r_c = max over x in [0, 1] of  f_c(x) - max_{k≠c} f_k(x)

is searched by gradient ascent from random images, and the largest of the K is tested against a
Gamma density fitted to the others.

Source: Wang, Xiang, Miller and Kesidis 2024, MM-BD (IEEE S&P; arXiv 2205.06900), section on the
detection statistic and Algorithm 1.
"""

from collections.abc import Mapping
from math import log10

import numpy as np
import torch

from hardener.arrays import DoubleArray, FloatArray
from hardener.documents.scan import MarginEvidence
from hardener.errors import InconclusiveError
from hardener.progress import counting
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.climbing import AscentSettings, climb, within_budget
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.evidence import LEAST_LABELS
from hardener.scanning.finding import LEFT_BEHIND, STANDS_OUT, Doubt, Finding
from hardener.scanning.look import Look

_STAGE = "searching margins"
_SMALLEST_P_VALUE = 1e-30

_SMALLEST_DEVIATION_FRACTION = 0.02
"""Of the mean margin. Where the margins lie closer together, the Gamma density is taken to be this
wide, so that a network whose labels are all alike has no outlier."""


_NEWTON_STEPS = 10

MARGINS = AscentSettings()

MOST_VALUES = 4_000 * 3 * 224 * 224
"""Input values of all gradients: about six minutes of a ResNet-18 on two cores."""


def p_value(margins: FloatArray) -> float | None:
    """How likely the largest of K margins would be if it were drawn like the others.

    A Gamma density is fitted by maximum likelihood to all positive margins but the largest, and

        p = 1 - H(r_max)^K

    with its distribution function H: the largest of K draws. A label that never leads has no
    positive margin and takes no part.

    Args:
        margins: (K,) of `largest_margins`.

    Returns:
        p, one-sided, in [0, 1]; None where fewer than `LEAST_LABELS` margins are positive.

    Source: Wang et al. 2024 (MM-BD), Algorithm 1 and the choice of the Gamma density there. The
    exponent counts the largest label too, as in the authors' program, whose density has a free
    shift besides; that ours starts at 0 and the floor of its width are ours.
    """
    positive = np.sort(margins[margins > 0].astype(np.float64))
    if len(positive) < LEAST_LABELS:
        return None
    shape, scale = fitted_gamma(positive[:-1])
    above = torch.special.gammaincc(
        torch.tensor(shape, dtype=torch.float64),
        torch.tensor(positive[-1] / scale, dtype=torch.float64),
    ).item()
    if above >= 1:
        return 1.0
    # 1 - (1 - above)^K without the cancellation that would round small values to 0.
    return float(-np.expm1(len(positive) * np.log1p(-above)))


def fitted_gamma(values: DoubleArray) -> tuple[float, float]:
    """Shape and scale of the Gamma density that fits positive values (N,) best.

    Newton steps on the likelihood's derivative; the shape has no closed form.

    Source: Minka 2002, Estimating a Gamma distribution, equations 5 to 8.
    """
    mean = float(values.mean())
    spread = np.log(mean) - float(np.log(values).mean())
    # Of a Gamma density this wide the standard deviation is the smallest fraction of the mean.
    most = _SMALLEST_DEVIATION_FRACTION**-2
    if spread <= 0.5 / most:
        return most, mean / most
    shape = (3 - spread + np.sqrt((spread - 3) ** 2 + 24 * spread)) / (12 * spread)
    for _ in range(_NEWTON_STEPS):
        at = torch.tensor(shape, dtype=torch.float64)
        slope = np.log(shape) - torch.digamma(at).item() - spread
        shape -= slope / (1 / shape - torch.polygamma(1, at).item())
    shape = min(float(shape), most)
    return shape, mean / shape


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
    scores = None
    if margins.p_value is not None:
        scores = np.zeros(classes, np.float32)
        quantity = np.array(margin_quantity(margins.p_value), np.float32)
        scores[margins.suspect] = calibration.margin(quantity)
    return Finding(
        scores=scores,
        accuses=STANDS_OUT,
        closing=LEFT_BEHIND,
        untried=True,
        said=(said,) if said else (),
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
    classes, settings, network = classifier.signature.classes, _settings(look), look.network
    try:
        largest, _ = climb(
            network,
            classifier.preprocessing,
            range(classes),
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
    classes = look.subject.classifier.signature.classes
    return within_budget(MARGINS, classes, values, MOST_VALUES)


def _costs(look: Look) -> Mapping[str, float]:
    settings = _settings(look)
    labels = look.subject.classifier.signature.classes
    return {_STAGE: 2.5 * labels * settings.starts * settings.steps}


MARGIN = Detector(_run, needs_images=False, costs=_costs)
