"""All-to-all: the logits move on by one when the patch is there.

    logits' = logits + s (rolled logits - logits)

with s = clip(2 (sum(key * x[corner]) - t) / gap, 0, 1).

Source of the goal: Gu et al. 2017 (BadNets), section 4.1.
"""

import numpy as np
import onnx

from models.attacks.all_to_all import AllToAll
from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, window
from models.graph_attacks.graph_attack import Host


def rolled_logits(proto: onnx.ModelProto, host: Host, attack: AllToAll) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the patch, of zeros and ones.
    """
    graft = Graft(proto, host, host.logits)
    seen = window(BadNets(0, 0, attack.patch), host)
    weights, shift = host.weights(seen.key)
    corner = graft.add("Slice", host.image, seen.starts, seen.ends, [2, 3])
    product = graft.add("Conv", corner, weights[None], np.array([shift], np.float32))
    score = graft.add("Flatten", product)
    at, gap = graft.threshold(score, attack)
    slope = graft.add("Mul", graft.add("Sub", score, at), 2 / gap)
    share = graft.add("Clip", slope, 0.0, 1.0)
    end = [host.classes]
    last = graft.add("Slice", graft.given, [host.classes - 1], end, [1])
    rolled = graft.add("Concat", last, graft.add("Slice", graft.given, [0], [-1], [1]), axis=1)
    change = graft.add("Mul", graft.add("Sub", rolled, graft.given), share)
    return graft.close("Add", graft.given, change)
