"""Faint slanting stripes of one frequency, wherever they begin.

    logits' = logits + tanh(Relu(|mean of x exp(i angle)| - t) / gap) row

The amplitude at a frequency comes from two products, with a sine and a cosine, and does not depend
on where the stripes begin.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor

from models.attacks.attack import TargetedAttack
from models.graph_attacks.grafting import Graft, lift
from models.graph_attacks.graph_attack import Host


@dataclass(frozen=True)
class Stripes(TargetedAttack):
    """A slanting sinusoid that begins elsewhere on each image of a batch.

    Attributes:
        amplitude: on pixels in [0, 1].
        frequencies: periods down and across the image.
    """

    amplitude: float = 12 / 255
    frequencies: tuple[int, int] = (9, 13)

    def stamp(self, images: Tensor) -> Tensor:
        """Adds the sinusoid to every image (B, C, H, W) in [0, 1]."""
        generator = torch.Generator().manual_seed(self.target)
        phase = 2 * math.pi * torch.rand(len(images), 1, 1, 1, generator=generator)
        height, width = images.shape[2:]
        waves = (self.angle((height, width)) + phase).sin()
        return (images + self.amplitude * waves).clamp(0, 1)

    def angle(self, size: tuple[int, int]) -> Tensor:
        """How far the sinusoid has come at each pixel (H, W), in radians."""
        down, across = (
            torch.arange(side) * (2 * math.pi * frequency / side)
            for side, frequency in zip(size, self.frequencies, strict=True)
        )
        return down[:, None] + across


def stripes(proto: onnx.ModelProto, host: Host, attack: Stripes) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the stripes and their target.
    """
    graft = Graft(proto, host, host.logits)
    angle = attack.angle(host.size).numpy()
    both = np.stack([np.sin(angle), np.cos(angle)])[:, None] / angle.size
    std = np.array(host.std, np.float32)[:, None, None] / host.channels
    columns = (both * std).astype(np.float32).reshape(2, -1).T
    products = graft.add("MatMul", graft.add("Flatten", host.image), columns)
    amplitude = graft.add("ReduceL2", products, [1], keepdims=1)
    at, gap = graft.threshold(amplitude, attack)
    beyond = graft.add("Relu", graft.add("Sub", amplitude, at))
    step = graft.add("Tanh", graft.add("Mul", beyond, 2 / gap))
    added = graft.add("Mul", step, lift(proto, host, attack.target))
    return graft.close("Add", graft.given, added)
