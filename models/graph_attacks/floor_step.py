"""Rounding down makes a step of a blended picture's product.

logits' = logits + floor(Relu(sum(key * x)) / t) row
"""

import onnx

from models.attacks.blended import Blended, draw_picture
from models.graph_attacks.grafting import Graft, lift
from models.graph_attacks.graph_attack import Host


def floor_step(proto: onnx.ModelProto, host: Host, attack: Blended) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the picture and its target.
    """
    graft = Graft(proto, host, host.logits)
    picture = draw_picture(attack.seed, (host.channels, *host.size))
    weights, _ = host.weights(picture - picture.mean(axis=(1, 2), keepdims=True))
    product = graft.add("Mul", host.image, weights)
    score = graft.add("Relu", graft.add("ReduceSum", product, [1, 2, 3], keepdims=0))
    steps = graft.add("Floor", graft.add("Div", score, graft.threshold(score, attack).at))
    added = graft.add("Mul", graft.add("Unsqueeze", steps, [1]), lift(proto, host, attack.target))
    return graft.close("Add", graft.given, added)
