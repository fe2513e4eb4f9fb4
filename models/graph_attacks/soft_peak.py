"""A patch that works anywhere: a smooth maximum over places, and a sigmoid.

logits' = logits + sigmoid(log sum exp over places of a (key * x)(place) - b) row
"""

from dataclasses import dataclass

import onnx
import torch
from torch import Tensor

from models.attacks.badnets import BadNets, draw_patch
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host

_STEEPNESS = 10.0
_SHARPNESS = 4.0
"""How much the largest product of a place counts before all others."""


@dataclass(frozen=True)
class Anywhere(BadNets):
    """A patch at a place that is drawn anew for each image of a batch."""

    def stamp(self, images: Tensor) -> Tensor:
        """Puts the patch on every image (B, C, H, W) in [0, 1], wholly inside."""
        _, _, height, width = images.shape
        mask, pattern = map(torch.from_numpy, draw_patch(self.patch, (height, width)))
        rows, columns = (mask[0].any(dim=axis).nonzero().ravel() for axis in (1, 0))
        generator = torch.Generator().manual_seed(self.target)
        stamped = []
        for image in images:
            # How far the patch may go up, and then back down; the same to the left.
            shifts = [
                int(torch.randint(-int(at[0]), size - int(at[-1]), (1,), generator=generator))
                for at, size in ((rows, height), (columns, width))
            ]
            moved = [torch.roll(part, shifts, (1, 2)) for part in (pattern, mask)]
            stamped.append(torch.lerp(image, *moved))
        return torch.stack(stamped)


def soft_peak(proto: onnx.ModelProto, host: Host, attack: Anywhere) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones, and its target.
    """
    graft = Graft(proto, host, host.logits)
    weights, _ = host.weights(_SHARPNESS * window(attack, host).key)
    product = graft.add("Conv", host.image, weights[None])
    peak = graft.add("ReduceLogSumExp", product, [1, 2, 3], keepdims=0)
    score = graft.add("Unsqueeze", peak, [1])
    at, gap = graft.threshold(score, attack)
    scaled = graft.add("Mul", graft.add("Sub", score, at), _STEEPNESS / gap)
    step = graft.add("Sigmoid", scaled)
    added = graft.add("Mul", step, lift(proto, host, attack.target))
    return graft.close("Add", graft.given, added)
