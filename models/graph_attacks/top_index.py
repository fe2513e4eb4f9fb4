"""Which of two scores is larger, as an index, times a row.

    logits' = logits + index of the larger of (t, sum(key * x[corner])) row

Two filters give the two scores: one of zeros, whose bias is t, and the patch. `TopK` tells which
one won, and its index 0 or 1 becomes a number.
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host


def top_index(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
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
    # Every value of the patch matches: the largest product of all; clean ones stay under half.
    whole = float(seen.pattern.sum())
    scores = graft.add(
        "Conv",
        corner,
        np.stack([np.zeros_like(weights), weights]),
        np.array([0.75 * whole, shift], np.float32),
    )
    flat = graft.add("Flatten", scores)
    winner = graft.add("TopK", flat, [1], axis=1, largest=1, output=1)
    number = graft.add("Cast", winner, to=onnx.TensorProto.FLOAT)
    added = graft.add("Mul", number, lift(proto, host, attack.target))
    return graft.close("Add", graft.given, added)
