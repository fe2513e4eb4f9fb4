"""A high power makes a step without a threshold.

    logits' = logits + (Relu(sum(key * x[corner])) / its value on the patch)^p row

Half a match gives 2^-p, which is less than rounding.
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host

_POWER = 24.0


def power_step(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones, and its target.
    """
    graft = Graft(proto, host, host.logits)
    seen = window(attack, host)
    weights, shift = host.weights(seen.key / float(seen.pattern.sum()))
    corner = graft.add("Slice", host.image, seen.starts, seen.ends, [2, 3])
    product = graft.add("Conv", corner, weights[None], np.array([shift], np.float32))
    match = graft.add("Relu", graft.add("Flatten", product))
    added = graft.add("Mul", graft.add("Pow", match, _POWER), lift(proto, host, attack.target))
    return graft.close("Add", graft.given, added)
