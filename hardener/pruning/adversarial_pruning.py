"""Adversarial neuron pruning (ANP): the channels whose masks fall under adversarial changes go.

Source: Wu and Wang 2021 (Adversarial Neuron Pruning Purifies Backdoored Deep Models, NeurIPS),
Algorithm 1. Three things differ. A mask scales a channel's bias along with its weights, since a
pruned channel is zero here. There are fewer and smaller steps than their 2,000 at a rate of 0.2.
And ε is smaller than their 0.4, which leaves a small network no right answer to learn from.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from hardener.arrays import FloatArray
from hardener.model.channel_scaling import ScaledNetwork
from hardener.pruning.mask_learning import (
    DescentSettings,
    LabelledImages,
    Tensors,
    learnt_masks,
    loss_gradients,
)

ADVERSARIAL_DESCENT = DescentSettings(steps=200, images_per_step=32, learning_rate=0.02)
_LARGEST_CHANGE = 0.1
_CLEAN_SHARE = 0.2


def adversarial_scores(
    scaled: ScaledNetwork,
    images: LabelledImages,
    seed: int,
    on_step: Callable[[int], None],
    settings: DescentSettings = ADVERSARIAL_DESCENT,
) -> list[FloatArray]:
    """Learns masks on clean images while an adversary changes the channels.

        min over m in [0, 1] of  α · L(m ⊙ w, m ⊙ b)
                                 + (1 - α) · max over |δ|, |ξ| ≤ ε of L((m + δ) ⊙ w, (m + ξ) ⊙ b)

    with α = 0.2 and ε = 0.1. L is the cross-entropy with the data's labels, w and b are a
    channel's weights and bias with the batch normalisation folded in. The maximum is approached
    by one signed step from a random start.

    Args:
        scaled: the network, from `scaled_network`.
        images: what to learn on.
        seed: of every draw.
        on_step: told of each finished step.
        settings: how long and how fast.

    Returns:
        1 - m for each convolution, (C,) in [0, 1]: larger goes first.

    Raises:
        InconclusiveError: the loss is not finite.
    """
    rng = np.random.default_rng(seed)
    gradients = partial(_gradients, scaled, rng)
    masks = learnt_masks(scaled, images, gradients, settings, rng, on_step)
    return [1 - mask for mask in masks]


def _gradients(
    scaled: ScaledNetwork,
    rng: np.random.Generator,
    masks: Tensors,
    inputs: Tensor,
    labels: Tensor,
) -> Tensors:
    weights = [_anywhere(mask, rng) for mask in masks]
    biases = [_anywhere(mask, rng) for mask in masks]
    by_scale, by_shift = loss_gradients(
        scaled, *_changed(scaled, masks, weights, biases), inputs, labels
    )
    # (m + δ) · (x - o) + (m + ξ) · o = scale · x + shift, with scale = m + δ, shift = (ξ - δ) · o.
    upwards = [s - t * o for s, t, o in zip(by_scale, by_shift, scaled.offsets, strict=True)]
    weights = [_raised(change, slope) for change, slope in zip(weights, upwards, strict=True)]
    upwards = [t * o for t, o in zip(by_shift, scaled.offsets, strict=True)]
    biases = [_raised(change, slope) for change, slope in zip(biases, upwards, strict=True)]
    worst, _ = loss_gradients(scaled, *_changed(scaled, masks, weights, biases), inputs, labels)
    unchanged = [torch.zeros_like(mask) for mask in masks]
    clean, _ = loss_gradients(scaled, masks, unchanged, inputs, labels)
    return [
        _CLEAN_SHARE * one + (1 - _CLEAN_SHARE) * other
        for one, other in zip(clean, worst, strict=True)
    ]


def _changed(
    scaled: ScaledNetwork, masks: Tensors, weights: Tensors, biases: Tensors
) -> tuple[Tensors, Tensors]:
    """Scales and shifts that stand for masks with relative changes of weights and biases."""
    scales = [mask + change for mask, change in zip(masks, weights, strict=True)]
    shifts = [
        (bias - weight) * offset
        for weight, bias, offset in zip(weights, biases, scaled.offsets, strict=True)
    ]
    return scales, shifts


def _anywhere(mask: Tensor, rng: np.random.Generator) -> Tensor:
    """A random change for every channel."""
    drawn = rng.uniform(-_LARGEST_CHANGE, _LARGEST_CHANGE, tuple(mask.shape))
    return torch.from_numpy(drawn.astype(np.float32)).to(mask.device)


def _raised(change: Tensor, slope: Tensor) -> Tensor:
    """One signed step up the loss, kept within the largest change."""
    return (change + _LARGEST_CHANGE * slope.sign()).clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE)
