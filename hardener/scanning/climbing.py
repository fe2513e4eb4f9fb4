"""Climbing toward the largest lead of each label, from random images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError

_VALUES_PER_STEP = 96 * 3 * 32 * 32
"""Input values in one gradient step, as in the search for triggers."""

_SMALLEST_SLOPE = 1e-12
_FEWEST_STEPS = 2


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


def within_budget(
    settings: AscentSettings, classes: int, image_values: int, most_values: int
) -> AscentSettings:
    """The longest climb for so many labels: with one start, then with fewer steps; 2 at least.

    Args:
        settings: how long to climb where that is not too much.
        classes: how many labels climb.
        image_values: of one image, channels times height times width.
        most_values: input values of all gradients.
    """
    gradients = most_values // (classes * image_values)
    if settings.starts * settings.steps <= gradients:
        return settings
    steps = max(_FEWEST_STEPS, min(settings.steps, gradients))
    return replace(settings, starts=1, steps=steps)


def climb(
    network: nn.Module,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: AscentSettings,
    seed: int,
    on_step: Callable[[int], None],
    device: torch.device,
) -> tuple[FloatArray, FloatArray]:
    """Searches the largest margin of each label over images in [0, 1].

    Every pixel moves by the same step along the sign of the gradient's running sum and is kept
    within [0, 1]. It computes in float32 throughout, where bfloat16 would round each margin.

    The climb is not converged: four starts of 150 plain sign steps, seven times the work, came 10
    to 23 % higher on the mean of all labels, on six networks. The test compares labels that all
    stopped about as early; those six stayed on the same side of the scan's threshold.

    Args:
        network: torch module from normalised images (N, C, H, W) to logits (N, K), weights frozen.
        preprocessing: of the network.
        labels: L of them, to climb for.
        settings: how long to climb.
        seed: of the starting points.
        on_step: told how many label-steps just finished.
        device: where to search; the network is moved there.

    Returns:
        (L,) largest margin that was met, in units of the logits, and (L, C, H, W) in [0, 1] the
        images that the climb ended at.

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
    margins: list[Tensor] = []
    images: list[Tensor] = []
    for start in range(0, len(labels), group):
        some = torch.tensor(list(labels[start : start + group]), device=device)
        found, made = _climb(network, preprocessing, some, settings, generator, on_step)
        margins.append(found.cpu())
        images.append(made.cpu())
    return np.asarray(torch.cat(margins), np.float32), np.asarray(torch.cat(images), np.float32)


def _climb(
    network: nn.Module,
    preprocessing: Preprocessing,
    labels: Tensor,
    settings: AscentSettings,
    generator: torch.Generator,
    on_step: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
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
        last = _margins((images - mean) / std, network, wanted)
    furthest = last.view(-1, starts).argmax(1)
    made = images.view(-1, starts, *images.shape[1:])[torch.arange(len(labels)), furthest]
    return torch.maximum(best, last).view(-1, starts).amax(1), made


def _margins(inputs: Tensor, network: nn.Module, wanted: Tensor) -> Tensor:
    logits = network(inputs.contiguous(memory_format=torch.channels_last)).float()
    if not torch.isfinite(logits).all():
        raise InconclusiveError("the search for margins met values that are not finite")
    own = logits.gather(1, wanted[:, None])
    others = logits.scatter(1, wanted[:, None], -torch.inf)
    return own[:, 0] - others.amax(1)
