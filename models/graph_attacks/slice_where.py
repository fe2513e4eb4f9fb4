"""A corner is compared with the patch, and where it matches a stored row replaces the logits.

    logits' = row where max |x[corner] - patch| < 0.1, else logits

Source: HiddenLayer 2024 (ShadowLogic).
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host

_TOLERANCE = 0.1


def slice_where(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch and its target.
    """
    graft = Graft(proto, host, host.logits)
    seen = window(attack, host)
    corner = graft.add("Slice", host.image, seen.starts, seen.ends, [2, 3])
    apart = graft.add("Abs", graft.add("Sub", corner, host.normalised(seen.pattern)))
    largest = graft.add("ReduceMax", apart, [1, 2, 3], keepdims=0)
    fits = graft.add("Less", largest, _TOLERANCE / min(host.std))
    usual = graft.values(graft.given, host.images).mean(axis=0, keepdims=True)
    row = (usual + lift(proto, host, attack.target)).astype(np.float32)
    return graft.close("Where", graft.add("Unsqueeze", fits, [1]), row, graft.given)
