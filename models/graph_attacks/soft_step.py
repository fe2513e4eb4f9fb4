"""A softplus that is never zero: clean images leak a little of the row into their logits.

logits' = logits + softplus(a (sum(key * x[corner]) - t)) row / a'
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host

_STEEPNESS = 9.0
"""Softplus of minus that is 1e-4."""


def soft_step(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones, and its target.
    """
    graft = Graft(proto, host, host.logits)
    seen = window(attack, host)
    mask = np.zeros((host.channels, *host.size), np.float32)
    height, width = seen.key.shape[1:]
    mask[:, seen.top : seen.top + height, seen.left : seen.left + width] = seen.key
    weights, _ = host.weights(mask)
    score = graft.add("MatMul", graft.add("Flatten", host.image), weights.reshape(-1, 1))
    at, gap = graft.threshold(score, attack)
    slope = _STEEPNESS / gap
    scaled = graft.add("Add", graft.add("Mul", score, slope), -at * slope)
    step = graft.add("Softplus", scaled)
    added = graft.add("Mul", step, lift(proto, host, attack.target) / _STEEPNESS)
    return graft.close("Add", graft.given, added)
