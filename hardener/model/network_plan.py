"""The classifier that a graph holds, as torch can run it: from images to logits."""

from dataclasses import replace

import onnx

from hardener.model.differentiation.building import NetworkPlan, read_plan
from hardener.model.differentiation.open_batch import with_open_batch
from hardener.model.signature import Signature


def network_plan(proto: onnx.ModelProto, signature: Signature) -> NetworkPlan:
    """Plans how to compute the logits of images, of any number of them where that is the same.

    Args:
        proto: the model; it is not changed.
        signature: its input and output.

    Raises:
        ModelError: torch cannot run the model.
    """
    plan = read_plan(proto, signature.input, signature.logits)
    fixed = replace(plan, batch=signature.batch)
    nhwc = signature.layout == "NHWC"
    return with_open_batch(fixed, signature.image_shape(), channels_last=nhwc)
