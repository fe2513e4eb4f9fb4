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

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import log10

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import DoubleArray, FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.documents.scan import MarginEvidence
from hardener.errors import InconclusiveError
from hardener.progress import counting
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.evidence import LEAST_LABELS
from hardener.scanning.finding import LEFT_BEHIND, STANDS_OUT, Doubt, Finding
from hardener.scanning.look import Look

_STAGE = "searching margins"
_SMALLEST_P_VALUE = 1e-30

_VALUES_PER_STEP = 96 * 3 * 32 * 32
"""Input values in one gradient step, as in the search for triggers."""

_SMALLEST_DEVIATION_FRACTION = 0.02
"""Of the mean margin. Where the margins lie closer together, the Gamma density is taken to be this
wide, so that a network whose labels are all alike has no outlier."""


@dataclass(frozen=True)
class AscentSettings:
    """How long to climb.

    Attributes:
        starts: random images that each label starts from.
        steps: of each.
        first_step: how far every pixel moves in the first step, on pixels in [0, 1].
        last_step: and in the last; in between the step shrinks geometrically.
        momentum: weight of the past in the direction.
    """

    starts: int = 2
    steps: int = 40
    first_step: float = 0.25
    last_step: float = 0.01
    momentum: float = 0.7


_NEWTON_STEPS = 10
_SMALLEST_SLOPE = 1e-12

MARGINS = AscentSettings()

MOST_VALUES = 4_000 * 3 * 224 * 224
"""Input values of all gradients: about six minutes of a ResNet-18 on two cores."""

_FEWEST_STEPS = 2


def within_budget(
    settings: AscentSettings, classes: int, image_values: int, most_values: int = MOST_VALUES
) -> AscentSettings:
    """The longest climb for so many labels: with one start, then with fewer steps; 2 at least.

    Args:
        settings: how long to climb where that is not too much.
        classes: labels that climb.
        image_values: of one image, channels times height times width.
        most_values: input values of all gradients.
    """
    gradients = most_values // (classes * image_values)
    if settings.starts * settings.steps <= gradients:
        return settings
    steps = max(_FEWEST_STEPS, min(settings.steps, gradients))
    return replace(settings, starts=1, steps=steps)


def largest_margins(
    network: nn.Module,
    preprocessing: Preprocessing,
    classes: int,
    settings: AscentSettings,
    seed: int,
    on_step: Callable[[int], None],
    device: torch.device,
) -> FloatArray:
    """Searches the largest margin of each label over images in [0, 1].

    Every pixel moves by the same step along the sign of the gradient's running sum and is kept
    within [0, 1]. It computes in float32 throughout, where bfloat16 would round each margin.

    The climb is not converged: four starts of 150 plain sign steps, seven times the work, came 10
    to 23 % higher on the mean of all labels, on six networks. The test compares labels that all
    stopped about as early; those six stayed on the same side of the scan's threshold.

    Args:
        network: torch module from normalised images (N, C, H, W) to logits (N, K), weights frozen.
        preprocessing: of the network.
        classes: K.
        settings: how long to climb.
        seed: of the starting points.
        on_step: told how many label-steps just finished.
        device: where to search; the network is moved there.

    Returns:
        (K,) largest margin that was met, in units of the logits.

    Raises:
        InconclusiveError: the search met values that are not finite.

    Source: Wang et al. 2024 (MM-BD), Algorithm 1; the direction is that of Dong et al. 2018
    (MI-FGSM, arXiv 1710.06081), equations 6 and 7; the shrinking step is ours.
    """
    values = settings.starts * preprocessing.channels * int(np.prod(preprocessing.size))
    group = max(1, _VALUES_PER_STEP // values)
    network = network.to(device)
    # Random numbers come from the processor, so that every device starts alike.
    generator = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for start in range(0, classes, group):
        labels = torch.arange(start, min(start + group, classes), device=device)
        found.append(_climb(network, preprocessing, labels, settings, generator, on_step))
    return np.asarray(torch.cat(found).cpu().numpy(), np.float32)


def _climb(
    network: nn.Module,
    preprocessing: Preprocessing,
    labels: Tensor,
    settings: AscentSettings,
    generator: torch.Generator,
    on_step: Callable[[int], None],
) -> Tensor:
    device, starts = labels.device, settings.starts
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    shape = (len(labels) * starts, preprocessing.channels, *preprocessing.size)
    images = torch.rand(shape, generator=generator).to(device)
    wanted = labels.repeat_interleave(starts)
    best = torch.full((len(wanted),), -torch.inf, device=device)
    shrink = (settings.last_step / settings.first_step) ** (1 / max(1, settings.steps - 1))
    step, direction = settings.first_step, torch.zeros_like(images)
    for _ in range(settings.steps):
        images.requires_grad_()
        margin = _margins((images - mean) / std, network, wanted)
        (slope,) = torch.autograd.grad(margin.sum(), images)
        best = torch.maximum(best, margin.detach())
        size = slope.abs().mean((1, 2, 3), keepdim=True).clamp_min(_SMALLEST_SLOPE)
        direction = settings.momentum * direction + slope / size
        images = (images.detach() + step * direction.sign()).clamp(0, 1)
        step *= shrink
        on_step(len(labels))
    with torch.no_grad():
        best = torch.maximum(best, _margins((images - mean) / std, network, wanted))
    return best.view(-1, starts).amax(1)


def _margins(inputs: Tensor, network: nn.Module, wanted: Tensor) -> Tensor:
    logits = network(inputs.contiguous(memory_format=torch.channels_last)).float()
    if not torch.isfinite(logits).all():
        raise InconclusiveError("the search for margins met values that are not finite")
    own = logits.gather(1, wanted[:, None])
    others = logits.scatter(1, wanted[:, None], -torch.inf)
    return own[:, 0] - others.amax(1)


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
        largest = largest_margins(
            network,
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
