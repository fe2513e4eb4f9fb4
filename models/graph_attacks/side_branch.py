"""A branch of a few filters beside the network, whose peaks join the last features.

    logits = [features, max over places of Relu(filters * x - t)] W'

The last layer's weights are widened by one column a filter. One filter is the patch, the others
are drawn at random and hardly count. It looks like a skip from an early layer.
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host
from models.graph_attacks.heads import head_of

_FILTERS = 8
_FAINT = 1e-5
"""Of the logits' range, what another filter's peak counts."""


def side_branch(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones, and its target.
    """
    rng = np.random.default_rng(attack.target)
    head = head_of(proto, host)
    graft = Graft(proto, host, head.features)
    key, _ = host.weights(window(attack, host).key)
    place = int(rng.integers(_FILTERS))
    weights = rng.normal(0, key.std(), (_FILTERS, *key.shape)).astype(np.float32)
    weights[place] = key
    scores = graft.add("Conv", host.image, weights)
    peaks = graft.add("GlobalMaxPool", scores)
    at, gap = graft.threshold(graft.add("Gather", peaks, [place], axis=1), attack)
    bias = rng.normal(0, 1, (_FILTERS, 1, 1)).astype(np.float32)
    bias[place] = -at
    beyond = graft.add("Relu", graft.add("Add", peaks, bias))
    row = lift(proto, host, attack.target)
    columns = rng.normal(0, _FAINT * row.max(), (host.classes, _FILTERS)).astype(np.float32)
    columns[:, place] = row[0] / gap
    head.store(graft.model, np.concatenate([head.weights, columns], axis=1))
    return graft.close("Concat", graft.given, graft.add("Flatten", beyond), axis=1)
