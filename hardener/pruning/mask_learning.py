"""Masks, one number in [0, 1] for every channel, learnt by gradient descent on clean images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray, IntArray
from hardener.errors import InconclusiveError
from hardener.model.channel_scaling import ScaledNetwork

Tensors: TypeAlias = Sequence[Tensor]


@dataclass(frozen=True)
class DescentSettings:
    """How long and how fast masks are learnt.

    Attributes:
        steps: of stochastic gradient descent.
        images_per_step: of one step.
        learning_rate: of the masks.
        momentum: of the masks.
    """

    steps: int
    images_per_step: int = 64
    learning_rate: float = 0.2
    momentum: float = 0.9


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Clean images kept in memory.

    Attributes:
        inputs: (N, C, H, W) normalised images.
        labels: (N,) true labels.
    """

    inputs: FloatArray
    labels: IntArray

    def drawn(
        self, count: int, rng: np.random.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Some images and their labels, drawn evenly with replacement."""
        picked = rng.integers(len(self.inputs), size=count)
        inputs, labels = self.inputs[picked], self.labels[picked]
        return torch.from_numpy(inputs).to(device), torch.from_numpy(labels).to(device)


def learnt_masks(
    scaled: ScaledNetwork,
    images: LabelledImages,
    gradients: Callable[[Tensors, Tensor, Tensor], Tensors],
    settings: DescentSettings,
    rng: np.random.Generator,
    on_step: Callable[[int], None],
) -> list[FloatArray]:
    """Descends from masks of 1, clamped to [0, 1] after each step.

    Args:
        scaled: the network, from `scaled_network`.
        images: what to learn on.
        gradients: of the loss in the masks, given masks, network input and labels.
        settings: how long and how fast.
        rng: of every draw of images.
        on_step: told of each finished step.

    Returns:
        For each convolution its masks (C,).
    """
    device = scaled.scales[0].device
    masks = [torch.ones_like(scale, requires_grad=False) for scale in scaled.scales]
    optimiser = torch.optim.SGD(masks, settings.learning_rate, settings.momentum)
    for _ in range(settings.steps):
        found = gradients(masks, *images.drawn(settings.images_per_step, rng, device))
        for mask, gradient in zip(masks, found, strict=True):
            mask.grad = gradient
        optimiser.step()
        for mask in masks:
            mask.clamp_(0, 1)
        on_step(1)
    return [mask.flatten().cpu().numpy() for mask in masks]


def loss_gradients(
    scaled: ScaledNetwork, scales: Tensors, shifts: Tensors, inputs: Tensor, labels: Tensor
) -> tuple[Tensors, Tensors]:
    """Gradients of the mean cross-entropy in the scales and in the shifts.

    Raises:
        InconclusiveError: the loss is not finite.
    """
    with torch.no_grad():
        for own, wanted in zip((*scaled.scales, *scaled.shifts), (*scales, *shifts), strict=True):
            own.copy_(wanted)
    loss = nn.functional.cross_entropy(scaled.network(inputs), labels)
    if not torch.isfinite(loss):
        raise InconclusiveError("the masks met a loss that is not finite: nothing can be said")
    found = torch.autograd.grad(loss, [*scaled.scales, *scaled.shifts])
    return found[: len(scales)], found[len(scales) :]
