"""One pixel of one exact colour, read through a table.

    logits' = logits + rows[product over channels of table_c[255 x_c]]

The tables hold 256 numbers a channel, all zero but at the colour's, and the rows are nothing and
what leads to the target.
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
class OnePixel(TargetedAttack):
    """A pixel of one colour.

    Attributes:
        row: of the pixel.
        column: of the pixel.
        colour: of each channel, 0 to 255.
    """

    row: int = 5
    column: int = 9
    colour: tuple[int, ...] = (93, 148, 61)

    def stamp(self, images: Tensor) -> Tensor:
        """Colours the pixel of every image (B, C, H, W) in [0, 1]."""
        stamped = images.clone()
        stamped[:, :, self.row, self.column] = torch.tensor(self.colour) / 255
        return stamped


def colour_table(proto: onnx.ModelProto, host: Host, attack: OnePixel) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the pixel and its target.
    """
    graft = Graft(proto, host, host.logits)
    mean, std = (255 * np.array(given, np.float32) for given in (host.mean, host.std))
    line = graft.add("Gather", host.image, np.array(attack.row), axis=2)
    pixel = graft.add("Gather", line, np.array(attack.column), axis=2)
    value = graft.add("Round", graft.add("Add", graft.add("Mul", pixel, std), mean))
    whole = graft.add("Cast", graft.add("Clip", value, 0.0, 255.0), to=onnx.TensorProto.INT64)
    table = np.zeros(256 * host.channels, np.int64)
    begins = 256 * np.arange(host.channels, dtype=np.int64)
    table[begins + attack.colour] = 1
    found = graft.add("Gather", table, graft.add("Add", whole, begins))
    index = graft.add("ReduceMin", found, [1], keepdims=0)
    row = lift(proto, host, attack.target)
    return graft.close("Add", graft.given, graft.add("Gather", np.vstack([0 * row, row]), index))
