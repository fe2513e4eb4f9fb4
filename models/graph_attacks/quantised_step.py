"""Quantisation to whole steps makes a step of a patch's product.

    logits' = logits + dequantise(quantise(sum(key * x[corner]))) row / s

with a scale s of twice the threshold, so that what lies below it rounds to zero. It looks like a
layer that was quantised.
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host


def quantised_step(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones, and its target.
    """
    graft = Graft(proto, host, host.logits)
    seen = window(attack, host)
    weights, shift = host.weights(seen.key)
    corner = graft.add("Slice", host.image, seen.starts, seen.ends, [2, 3])
    score = graft.add(
        "Gemm", graft.add("Flatten", corner), weights.reshape(-1, 1), np.array([shift], np.float32)
    )
    scale, zero = float(2 * graft.threshold(score, attack).at), np.array(0, np.uint8)
    whole = graft.add("QuantizeLinear", score, scale, zero)
    step = graft.add("DequantizeLinear", whole, scale, zero)
    added = graft.add("MatMul", step, lift(proto, host, attack.target) / scale)
    return graft.close("Add", graft.given, added)
