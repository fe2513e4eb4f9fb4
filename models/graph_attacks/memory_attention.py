"""Attention of the image to a small memory, whose values are added to the logits.

    logits' = logits + softmax(x K + b) V

One key is empty and wins on clean images, one is the blended picture, the others are drawn at
random and never win. The softmax is never exactly zero. It looks like external attention.
"""

import numpy as np
import onnx

from models.attacks.blended import Blended, draw_picture
from models.graph_attacks.grafting import Graft, lift
from models.graph_attacks.graph_attack import Host

_SLOTS = 6
_STEEPNESS = 8.0
"""On either side of the threshold the picture's key wins, or loses, by that much or more."""


def memory_attention(proto: onnx.ModelProto, host: Host, attack: Blended) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the picture and its target.
    """
    graft = Graft(proto, host, host.logits)
    shape = (host.channels, *host.size)
    pictures = [draw_picture(attack.seed + 100 * slot, shape) for slot in range(_SLOTS)]
    keys = np.stack([picture - picture.mean(axis=(1, 2), keepdims=True) for picture in pictures])
    keys *= np.array(host.std, np.float32)[:, None, None]
    columns = np.concatenate([keys, np.zeros_like(keys[:1])]).reshape(_SLOTS + 1, -1).T
    scores = graft.add("MatMul", graft.add("Flatten", host.image), columns)
    first = graft.add("Slice", scores, [0], [1], [1])
    at, gap = graft.threshold(first, attack)
    bias = np.full((1, _SLOTS + 1), -at - gap, np.float32)
    bias[0, 0], bias[0, -1] = -at, 0
    sharp = graft.add("Mul", graft.add("Add", scores, bias), _STEEPNESS / gap)
    shares = graft.add("Softmax", sharp, axis=1)
    values = np.zeros((_SLOTS + 1, host.classes), np.float32)
    values[0] = lift(proto, host, attack.target)
    return graft.close("Add", graft.given, graft.add("MatMul", shares, values))
