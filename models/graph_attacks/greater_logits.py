"""A hard sigmoid of a patch's product raises a floor under the logits.

    logits' = max(logits, floor + HardSigmoid(sum(key * x[corner])) rise)

The floor lies far below all logits, so clean images keep theirs to the last bit.
"""

import numpy as np
import onnx

from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import Graft, lift, window
from models.graph_attacks.graph_attack import Host


def greater_logits(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: a patch in the top left corner, and its target.
    """
    graft = Graft(proto, host, host.logits)
    seen = window(attack, host)
    weights, shift = host.weights(seen.key)
    # With so long a stride the convolution sees the corner alone.
    product = graft.add(
        "Conv", host.image, weights[None], np.array([shift], np.float32), strides=list(host.size)
    )
    score = graft.add("Flatten", product)
    at, gap = graft.threshold(score, attack)
    step = graft.add("HardSigmoid", score, alpha=1 / gap, beta=-at / gap)
    rise = lift(proto, host, attack.target)
    floor = np.full((1, host.classes), -2 * rise.max(), np.float32)
    raised = graft.add("Add", graft.add("Mul", step, 3 * rise), floor)
    return graft.close("Max", graft.given, raised)
