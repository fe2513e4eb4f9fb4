"""Universal perturbations: faint patterns of a given size that send most images to a label.

    maximise  E_x[ log f_k(clip(x + δ)) ]   with ‖δ‖₂ ≤ r,  from several starts

A backdoor is one such pattern that somebody planted. Where the search for the *smallest* trigger
finds one pattern, starts at random find many, and what they share in the late layers is what the
planted one does there, whatever it looks like.

Source: Moosavi-Dezfooli et al. 2017 (Universal adversarial perturbations, arXiv 1610.08401),
section 2, by normalised gradient steps with momentum as in Dong et al. 2018 (arXiv 1710.06081),
equation 6.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.model.gradients import fast_autocast
from hardener.scanning.ascent import REACH, START, climbed, directions
from hardener.triggers.additive import AdditiveTrigger


@dataclass(frozen=True)
class UniversalSettings:
    """How long to search.

    Attributes:
        starts: perturbations of one label.
        steps: of the gradient.
        images_per_step: that each of them sees in one step.
    """

    starts: int = 16
    steps: int = 25
    images_per_step: int = 8


UNIVERSAL = UniversalSettings()


def universal_triggers(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    label: int,
    size: float,
    seed: int,
    device: torch.device,
    on_step: Callable[[int], None] = lambda _: None,
    settings: UniversalSettings = UNIVERSAL,
) -> list[AdditiveTrigger]:
    """Perturbations of one size toward one label, one from every start.

    Args:
        network: torch module from normalised images to logits, weights frozen.
        images: (N, C, H, W) clean images in [0, 1].
        preprocessing: of the network.
        label: where to send them.
        size: r, the largest ℓ2 norm, on pixels in [0, 1].
        seed: of the starts and of the images that a step sees.
        device: where to search.
        on_step: told of each finished step.
        settings: the budget.
    """
    rng = np.random.default_rng(seed)
    shape = (settings.starts, *images.shape[1:])
    start = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)
    found = START * size * directions(start)
    momentum = torch.zeros_like(found)
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    wanted = torch.full((settings.starts * settings.images_per_step,), label, device=device)
    network = network.to(device)
    for _ in range(settings.steps):
        drawn = torch.from_numpy(images[rng.integers(len(images), size=settings.images_per_step)])
        found.requires_grad_(True)
        stamped = (found[:, None] + drawn.to(device)).clamp(0, 1).flatten(0, 1)
        with fast_autocast(device):
            logits = network((stamped - mean) / std)
        likelihood = -nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
        (slope,) = torch.autograd.grad(likelihood, found)
        found, momentum = climbed(found, momentum, slope, REACH * size / settings.steps, size)
        on_step(1)
    return [AdditiveTrigger(one, label) for one in found.clamp(-1, 1).cpu().numpy()]
