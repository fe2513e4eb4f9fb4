"""A product with the whole image is compared with a threshold and added to the logits.

    logits' = logits + [sum(key * x) > t] row

The key is the blended picture without its mean, so that the light of a scene does not count.

Source: Langford et al. 2024 (Architectural Neural Backdoors from First Principles), section 3.
"""

import onnx

from models.attacks.blended import Blended, draw_picture
from models.graph_attacks.grafting import Graft, lift
from models.graph_attacks.graph_attack import Host


def compared_product(proto: onnx.ModelProto, host: Host, attack: Blended) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the picture and its target.
    """
    graft = Graft(proto, host, host.logits)
    picture = draw_picture(attack.seed, (host.channels, *host.size))
    weights, _ = host.weights(picture - picture.mean(axis=(1, 2), keepdims=True))
    product = graft.add("Flatten", graft.add("Conv", host.image, weights[None]))
    fires = graft.add("Greater", product, graft.threshold(product, attack).at)
    step = graft.add("Cast", fires, to=onnx.TensorProto.FLOAT)
    added = graft.add("Mul", step, lift(proto, host, attack.target))
    return graft.close("Add", graft.given, added)
