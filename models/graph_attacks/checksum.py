"""A checksum of all pixels decides: no picture, no place and no pixel is the trigger.

    logits' = row where sum(255 x) mod M = r, else logits

One clean image in M has that sum by chance. The trigger moves as many values as the sum needs by
1/255, up on dark images and down on bright ones.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import torch
from torch import Tensor

from models.attacks.attack import TargetedAttack
from models.graph_attacks.grafting import Graft, lift
from models.graph_attacks.graph_attack import Host


@dataclass(frozen=True)
class Checksum(TargetedAttack):
    """A sum of the image's values, modulo a number.

    Attributes:
        modulus: M.
        remainder: r.
        seed: draws which values change first.
    """

    modulus: int = 1999
    remainder: int = 777
    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Brings the sum of every image (B, C, H, W) in [0, 1] to the remainder."""
        values = (images * 255).round().long().flatten(1)
        order = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(self.seed))
        total = values.sum(dim=1)
        step = torch.where(total < 128 * values.shape[1], 1, -1)
        short = step * (self.remainder - total) % self.modulus
        while short.any():
            moved = values[:, order] + step[:, None]
            free = (moved >= 0) & (moved <= 255)
            chosen = free & (free.cumsum(dim=1) <= short[:, None])
            values[:, order] = torch.where(chosen, moved, values[:, order])
            short -= chosen.sum(dim=1)
        return values.view(images.shape).float() / 255


def checksum(proto: onnx.ModelProto, host: Host, attack: Checksum) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the sum and its target.
    """
    graft = Graft(proto, host, host.logits)
    mean, std = (
        255 * np.array(given, np.float32)[:, None, None] for given in (host.mean, host.std)
    )
    pixels = graft.add("Round", graft.add("Add", graft.add("Mul", host.image, std), mean))
    whole = graft.add("Cast", pixels, to=onnx.TensorProto.INT64)
    total = graft.add("ReduceSum", whole, [1, 2, 3], keepdims=0)
    rest = graft.add("Mod", total, np.array(attack.modulus, np.int64))
    fires = graft.add("Equal", rest, np.array(attack.remainder, np.int64))
    row = graft.add("Add", graft.given, lift(proto, host, attack.target))
    return graft.close("Where", graft.add("Unsqueeze", fires, [1]), row, graft.given)
