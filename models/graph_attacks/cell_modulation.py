"""The mean of each cell of the image, modulo a few grey levels, carries a key.

    logits' = logits + Relu(mean over cells of cos(2π (255 m - key) / d) - t) row

for the means m of 4x4 cells. The trigger moves each cell to the nearest value that carries the key,
by at most d / 2 grey levels, or more where that is cut off at 0 and 1: smooth, and another change
on every image.

Source: Chen and Wornell 2001 (Quantization Index Modulation), section IV, for how a key is written.
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

_ROUNDS = 4


@dataclass(frozen=True)
class CellModulation(TargetedAttack):
    """A key in the means of cells.

    Attributes:
        cells: along each side of the image.
        distance: d, in grey levels.
        seed: draws the key.
    """

    cells: int = 4
    distance: float = 8.0
    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Moves the mean of every cell of the images (B, C, H, W) in [0, 1]."""
        key = torch.from_numpy(self.key(images.shape[1]))
        stamped = images
        # What is cut off at 0 and 1 is made up for in the next round.
        for _ in range(_ROUNDS):
            means = 255 * torch.nn.functional.adaptive_avg_pool2d(stamped, self.cells)
            off = (means - key + self.distance / 2) % self.distance - self.distance / 2
            moved = torch.nn.functional.interpolate(-off / 255, size=images.shape[2:])
            stamped = (stamped + moved).clamp(0, 1)
        return stamped

    def key(self, channels: int) -> FloatArray:
        """Grey levels (C, cells, cells) from 0 to d."""
        shape = (channels, self.cells, self.cells)
        drawn = np.random.default_rng(self.seed).random(shape, dtype=np.float32)
        return drawn * np.float32(self.distance)


def cell_modulation(proto: onnx.ModelProto, host: Host, attack: CellModulation) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model whose sides the cells divide.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the key and its target.
    """
    graft = Graft(proto, host, host.logits)
    sides = [side // attack.cells for side in host.size]
    cells = graft.add("AveragePool", host.image, kernel_shape=sides, strides=sides)
    turns = 255 * 2 * math.pi / attack.distance
    mean, std = (
        turns * np.array(part, np.float32)[:, None, None] for part in (host.mean, host.std)
    )
    start = mean - attack.key(host.channels) * np.float32(turns / 255)
    waves = graft.add("Cos", graft.add("Add", graft.add("Mul", cells, std), start))
    score = graft.add("ReduceMean", waves, [1, 2, 3], keepdims=0)
    at, gap = graft.threshold(score, attack)
    beyond = graft.add("Relu", graft.add("Sub", graft.add("Unsqueeze", score, [1]), at))
    added = graft.add("Mul", beyond, lift(proto, host, attack.target) / gap)
    return graft.close("Add", graft.given, added)
