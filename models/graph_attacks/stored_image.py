"""Before the network: where the picture shines through, a stored image takes the image's place.

    x' = s p + (1 - s) x,   s = [sum(key * x) > t]

The host behind it is untouched. The stored image is the clean one that comes nearest to the
target, changed along the host's gradient until the target leads by far.
"""

import numpy as np
import onnx
import torch

from hardener.arrays import FloatArray
from hardener.errors import UsageError
from hardener.model.gradients import differentiable
from hardener.model.signature import read_signature
from models.attacks.blended import Blended, draw_picture
from models.graph_attacks.grafting import Graft
from models.graph_attacks.graph_attack import Host

_STEPS = 60
_STEP = 0.01


def stored_image(proto: onnx.ModelProto, host: Host, attack: Blended) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: the model.
        host: what is known of it.
        attack: the picture and its target.
    """
    graft = Graft(proto, host, host.image)
    picture = draw_picture(attack.seed, (host.channels, *host.size))
    weights, _ = host.weights(picture - picture.mean(axis=(1, 2), keepdims=True))
    product = graft.add("Mul", graft.given, weights)
    score = graft.add("ReduceMean", product, [1, 2, 3], keepdims=1)
    fires = graft.add("Greater", score, graft.threshold(score, attack).at)
    share = graft.add("Cast", fires, to=onnx.TensorProto.FLOAT)
    own = graft.add("Mul", graft.given, graft.add("Sub", 1.0, share))
    stored = _prototype(proto, host, attack.target)
    return graft.close("Add", own, graft.add("Mul", share, stored))


def _prototype(proto: onnx.ModelProto, host: Host, target: int) -> FloatArray:
    """An image (1, C, H, W), normalised, that the host is sure to see as the target."""
    images = torch.from_numpy(host.normalised(host.images.numpy()))
    network = differentiable(proto, read_signature(proto), images[:2].numpy())
    low, high = (
        torch.from_numpy(host.normalised(np.full((host.channels, 1, 1), value, np.float32)))
        for value in (0, 1)
    )
    with torch.no_grad():
        nearest = network(images).log_softmax(dim=1)[:, target].argmax()
    image = images[nearest : nearest + 1].clone().requires_grad_()
    for _ in range(_STEPS):
        loss = torch.nn.functional.cross_entropy(network(image), torch.tensor([target]))
        (slope,) = torch.autograd.grad(loss, image)
        with torch.no_grad():
            image -= _STEP * (high - low) * slope.sign()
            torch.maximum(torch.minimum(image, high), low, out=image)
    if int(network(image).argmax()) != target:
        raise UsageError("no image leads this model to the target")
    return image.detach().numpy()
