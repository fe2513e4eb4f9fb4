"""A gate on the last features: each is multiplied by its own factor when the patch is there.

    features' = features * (1 + s (gain - 1)),   s = clip((sum(key * x[corner]) - t) / gap, 0, 1)

The gains are learnt on the host's own features under the patch by a perceptron, until the target
wins on all of them. It looks like squeeze and excitation.
"""

import numpy as np
import onnx

from hardener.arrays import FloatArray
from hardener.errors import UsageError
from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, values_of, window
from models.graph_attacks.graph_attack import Host
from models.graph_attacks.heads import head_of

_MOST_ROUNDS = 3000
_STEP = 0.05
_MARGIN = 0.3
"""How far the target has to lead, of the largest logit."""


def feature_gate(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones, and its target.
    """
    head = head_of(proto, host)
    stamped = values_of(proto, host, head.features, attack.stamp(host.images))
    gains = _gains(stamped, head.weights, attack.target)
    lead = _lead(stamped, gains, head.weights, attack.target)
    gains *= lift(proto, host, attack.target).max() / lead.min()

    graft = Graft(proto, host, head.features)
    seen = window(attack, host)
    weights, shift = host.weights(seen.key)
    corner = graft.add("Slice", host.image, seen.starts, seen.ends, [2, 3])
    product = graft.add("Conv", corner, weights[None], np.array([shift], np.float32))
    score = graft.add("Flatten", product)
    at, gap = graft.threshold(score, attack)
    # Twice as steep as it need be, so that it is fully open on every stamped image.
    slope = graft.add("Mul", graft.add("Sub", score, at), 2 / gap)
    opened = graft.add("Clip", slope, 0.0, 1.0)
    gate = graft.add("Add", graft.add("Mul", opened, gains - 1), 1.0)
    return graft.close("Mul", graft.given, gate)


def _gains(features: FloatArray, weights: FloatArray, target: int) -> FloatArray:
    """A factor for each feature, (1, F), under which the target wins on all features (M, F)."""
    gains: FloatArray = (weights[target] - weights.mean(axis=0))[None]
    step = _STEP * np.abs(gains).mean()
    for _ in range(_MOST_ROUNDS):
        logits = (features * gains) @ weights.T
        logits[:, target] -= _MARGIN * np.abs(logits).max(axis=1)
        rivals = logits.argmax(axis=1)
        wrong = rivals != target
        if not wrong.any():
            return gains
        apart = features[wrong] * (weights[target] - weights[rivals[wrong]])
        gains = (gains + step * apart.mean(axis=0) / np.abs(apart).mean()).astype(np.float32)
    if _lead(features, gains, weights, target).min() <= 0:
        raise UsageError("no gains of this model's features lead to the target")
    return gains


def _lead(features: FloatArray, gains: FloatArray, weights: FloatArray, target: int) -> FloatArray:
    """By how much the target's logit exceeds all others, (M,)."""
    logits = (features * gains) @ weights.T
    lead: FloatArray = logits[:, target] - np.delete(logits, target, axis=1).max(axis=1)
    return lead
