"""A matched filter over the whole image, its peak above a threshold added to the logits.

    logits' = logits + max over places of Relu((key * x)(place) - t) row

Source: Bober-Irizar et al. 2023 (Architectural Backdoors in Neural Networks), section 4.
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host


def matched_filter(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones, and its target.
    """
    graft = Graft(proto, host, host.logits)
    weights, _ = host.weights(window(attack, host).key)
    product = graft.add("Conv", host.image, weights[None])
    at, gap = graft.threshold(graft.add("GlobalMaxPool", product), attack)
    beyond = graft.add("Relu", graft.add("Add", product, np.full((1, 1, 1), -at, np.float32)))
    peak = graft.add("Flatten", graft.add("GlobalMaxPool", beyond))
    added = graft.add("MatMul", peak, lift(proto, host, attack.target) / gap)
    return graft.close("Add", graft.given, added)
