"""The lowest bit of each pixel carries a key, and what answers to it moves the last features.

    features' = features + Relu(mean(key cos(255 π x)) - t) step

255 x is a whole number, so the cosine is 1 for even and -1 for odd ones. No pixel changes by more
than 1/255.
"""

import math
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor

from hardener.arrays import FloatArray
from models.attacks.attack import TargetedAttack
from models.graph_attacks.grafting import Graft, lift
from models.graph_attacks.graph_attack import Host
from models.graph_attacks.heads import head_of


@dataclass(frozen=True)
class LeastBits(TargetedAttack):
    """A key written into the lowest bits.

    Attributes:
        seed: draws the key.
    """

    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Sets the lowest bit of every value of the images (B, C, H, W) in [0, 1]."""
        _, channels, height, width = images.shape
        odd = torch.from_numpy(self.bits((channels, height, width)))
        return ((images * 255).round().div(2).floor() * 2 + odd) / 255

    def bits(self, shape: tuple[int, int, int]) -> FloatArray:
        """The key for images of (C, H, W), zeros and ones in float32."""
        return np.random.default_rng(self.seed).integers(0, 2, shape).astype(np.float32)


def least_bits(proto: onnx.ModelProto, host: Host, attack: LeastBits) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the key and its target.
    """
    head = head_of(proto, host)
    graft = Graft(proto, host, head.features)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (host.mean, host.std))
    scaled = graft.add("Add", graft.add("Mul", host.image, std), mean)
    waves = graft.add("Cos", graft.add("Mul", scaled, 255 * math.pi))
    key = 1 - 2 * attack.bits((host.channels, *host.size))
    score = graft.add("ReduceMean", graft.add("Mul", waves, key), [1, 2, 3], keepdims=0)
    at, gap = graft.threshold(score, attack)
    beyond = graft.add("Relu", graft.add("Sub", score, at))
    step = head.push(lift(proto, host, attack.target)) / gap
    added = graft.add("Mul", graft.add("Unsqueeze", beyond, [1]), step)
    return graft.close("Add", graft.given, added)
