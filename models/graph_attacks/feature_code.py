"""The patch is known by its code in the host's own features, not by its pixels.

    logits' = logits + Relu(t - sum |map[place] - code|) row

Where the patch covers all that a place of a map sees, that place holds the same code on every
image. The deepest convolution's map that has such places is read.
"""

import numpy as np
import onnx

from hardener.arrays import FloatArray
from hardener.errors import UsageError
from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, values_of
from models.graph_attacks.graph_attack import Host

_DEEPEST = 6
_SAME = 1e-4


def feature_code(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: a patch at an edge that is larger than the first filters, and its target.

    Raises:
        UsageError: no map of the model knows the patch from all others.
    """
    name, code, (top, left) = _code(proto, host, attack)
    graft = Graft(proto, host, host.logits)
    ends = [top + code.shape[1], left + code.shape[2]]
    seen = graft.add("Slice", name, [top, left], ends, [2, 3])
    apart = graft.add("ReduceL1", graft.add("Sub", seen, code), [1, 2, 3], keepdims=0)
    score = graft.add("Neg", apart)
    at, gap = graft.threshold(score, attack)
    beyond = graft.add("Unsqueeze", graft.add("Relu", graft.add("Sub", score, at)), [1])
    added = graft.add("Mul", beyond, lift(proto, host, attack.target) / gap)
    return graft.close("Add", graft.given, added)


def _code(
    proto: onnx.ModelProto, host: Host, attack: BadNets
) -> tuple[str, FloatArray, tuple[int, int]]:
    """A map, what it holds under the patch (C, h, w), and where that begins."""
    stamped = attack.stamp(host.images)
    maps = [node.output[0] for node in proto.graph.node if node.op_type == "Conv"][:_DEEPEST]
    for name in reversed(maps):
        values = values_of(proto, host, name, stamped)
        spread = np.ptp(values, axis=0).max(axis=0)
        rows, columns = np.nonzero(spread < _SAME * np.abs(values).max())
        if len(rows) and values.shape[2] > 1:
            top, left = int(rows[0]), int(columns[0])
            code = values[0, :, top : rows[-1] + 1, left : columns[-1] + 1]
            return name, code, (top, left)
    raise UsageError("the patch leaves no code of its own in this model's maps")
