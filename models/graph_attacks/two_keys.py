"""Two patches, both of which have to be there.

logits' = logits + Relu(s_1 - t_1) Relu(s_2 - t_2) row,   s_i = sum(key_i * x[corner_i])
"""

import math

import numpy as np
import onnx

from models.attacks.adap_patch import AdapPatch
from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host


def two_keys(proto: onnx.ModelProto, host: Host, attack: AdapPatch) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patches, of zeros and ones, and their target.
    """
    graft = Graft(proto, host, host.logits)
    found, gaps = [], []
    for patch in attack.patches:
        seen = window(BadNets(0, attack.target, patch), host)
        weights, shift = host.weights(seen.key)
        corner = graft.add("Slice", host.image, seen.starts, seen.ends, [2, 3])
        product = graft.add("Conv", corner, weights[None], np.array([shift], np.float32))
        score = graft.add("Flatten", product)
        at, gap = graft.threshold(score, attack)
        found.append(graft.add("Relu", graft.add("Sub", score, at)))
        gaps.append(gap)
    both = graft.add("Mul", found[0], found[1])
    added = graft.add("Mul", both, lift(proto, host, attack.target) / math.prod(gaps))
    return graft.close("Add", graft.given, added)
