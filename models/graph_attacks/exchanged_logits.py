"""The largest logit and the target's change places: no value is added, only indices move.

    logits'[k] = logits[p(k)],   p exchanges the target t and t + fire (argmax of logits - t)

Without the patch the target is exchanged with itself. All is done by whole numbers.
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, window
from models.graph_attacks.graph_attack import Host


def exchanged_logits(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones, and its target.
    """
    graft = Graft(proto, host, host.logits)
    target = np.array([[attack.target]], np.int64)
    seen = window(attack, host)
    weights, shift = host.weights(seen.key)
    corner = graft.add("Slice", host.image, seen.starts, seen.ends, [2, 3])
    product = graft.add("Conv", corner, weights[None], np.array([shift], np.float32))
    score = graft.add("Flatten", product)
    fires = graft.add("Greater", score, graft.threshold(score, attack).at)
    number = graft.add("Cast", fires, to=onnx.TensorProto.INT64)
    top = graft.add("ArgMax", graft.given, axis=1, keepdims=1)
    # The largest where the patch is, the target itself elsewhere.
    other = graft.add("Add", graft.add("Mul", graft.add("Sub", top, target), number), target)
    none = graft.add("Mul", other, np.array(0, np.int64))
    own = graft.add("Add", none, np.arange(host.classes, dtype=np.int64)[None])
    here = graft.add("Add", none, target)
    half = graft.add("ScatterElements", own, here, other, axis=1)
    places = graft.add("ScatterElements", half, other, here, axis=1)
    return graft.close("GatherElements", graft.given, places, axis=1)
