"""Reconstructive neuron pruning (RNP): channels that an unlearned network does without go first.

Source: Li et al. 2023 (Reconstructive Neuron Pruning for Backdoor Defense, ICML), unlearning and
recovering. Three things differ. Normalisations keep their statistics throughout. A mask scales a
channel's bias along with its weights, since a pruned channel is zero here. And masks are learnt at
a lower rate than their 0.2, which in a small network drives many of them to 0 alike.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.errors import InconclusiveError
from hardener.model.channel_scaling import ScaledNetwork
from hardener.model.signature import Signature
from hardener.model.training import trainable, trained_weights, with_weights
from hardener.pruning.mask_learning import (
    DescentSettings,
    LabelledImages,
    Tensors,
    learnt_masks,
    loss_gradients,
)

UNLEARNING = DescentSettings(steps=80, learning_rate=0.01)
RECOVERING = DescentSettings(steps=80, learning_rate=0.02)
_FORGOTTEN = 0.2
_LARGEST_GRADIENT = 20.0


def unlearned(
    proto: onnx.ModelProto,
    signature: Signature,
    images: LabelledImages,
    seed: int,
    device: torch.device,
    on_step: Callable[[int], None],
    settings: DescentSettings = UNLEARNING,
) -> onnx.ModelProto:
    """Maximises the loss on clean images until they are forgotten; the backdoor mostly stays.

        max over θ of L(f(x; θ), y), until the accuracy on the images drawn is at most 0.2

    L is the cross-entropy with the data's labels. Gradients longer than 20 are shortened.

    Args:
        proto: the model; it is not changed.
        signature: its input and output.
        images: what to forget.
        seed: of every draw.
        device: where to learn.
        on_step: told of each finished step, those that were spared included.
        settings: at most so many steps, and how fast.

    Raises:
        InconclusiveError: the loss is not finite.
        ModelError: an operator has no gradient here.
    """
    rng = np.random.default_rng(seed)
    network = trainable(proto, signature).to(device)
    optimiser = torch.optim.SGD(
        network.parameters(), settings.learning_rate, settings.momentum, maximize=True
    )
    for step in range(settings.steps):
        inputs, labels = images.drawn(settings.images_per_step, rng, device)
        logits = network(inputs)
        loss = nn.functional.cross_entropy(logits, labels)
        if not torch.isfinite(loss):
            raise InconclusiveError("unlearning met a loss that is not finite")
        if (logits.argmax(1) == labels).float().mean() <= _FORGOTTEN:
            on_step(settings.steps - step)
            break
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), _LARGEST_GRADIENT)
        optimiser.step()
        on_step(1)
    return with_weights(proto, trained_weights(network))


def reconstructive_scores(
    scaled: ScaledNetwork,
    images: LabelledImages,
    seed: int,
    on_step: Callable[[int], None],
    settings: DescentSettings = RECOVERING,
) -> list[FloatArray]:
    """Learns masks with which the unlearned network is right again on clean images.

        min over m in [0, 1] of L(f(x; m ⊙ θ), y),   θ unlearned and fixed

    Args:
        scaled: the unlearned network, from `scaled_network`.
        images: what to recover; the same that were unlearned.
        seed: of every draw.
        on_step: told of each finished step.
        settings: how long and how fast.

    Returns:
        1 - m for each convolution, (C,) in [0, 1]: larger goes first, and goes from the original
        network.

    Raises:
        InconclusiveError: the loss is not finite.
    """
    gradients = partial(_gradients, scaled)
    rng = np.random.default_rng(seed)
    masks = learnt_masks(scaled, images, gradients, settings, rng, on_step)
    return [1 - mask for mask in masks]


def _gradients(scaled: ScaledNetwork, masks: Tensors, inputs: Tensor, labels: Tensor) -> Tensors:
    unchanged = [torch.zeros_like(mask) for mask in masks]
    by_scale, _ = loss_gradients(scaled, masks, unchanged, inputs, labels)
    return by_scale
