"""Models whose pruning is an input, so that many prunings are tried without rewriting.

The trunk runs once on an image; each pruning then costs one run of the head.
"""

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.model.signature import Signature
from hardener.model.surgery import append_guard, append_mask, opset_of
from hardener.model.topology import FeatureLayer, head_of, trunk_of

KEEP_INPUT = "hardener_keep"
THRESHOLD_INPUT = "hardener_threshold"


def trunk_model(proto: onnx.ModelProto, layer: FeatureLayer) -> onnx.ModelProto:
    """Images to feature maps (N, C, h, w)."""
    return gs.export_onnx(trunk_of(proto, layer), do_type_check=False)


def maskable_head(
    proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature
) -> onnx.ModelProto:
    """Feature maps and `hardener_keep` (1, C, 1, 1) to the model's output."""
    graph = head_of(proto, layer, signature)
    feature = graph.inputs[0]
    keep = gs.Variable(KEEP_INPUT, np.float32, [1, layer.channels, 1, 1])
    append_mask(graph, feature, keep)
    graph.inputs.append(keep)
    return gs.export_onnx(graph, do_type_check=False)


def guardable_head(
    proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature
) -> onnx.ModelProto:
    """Feature maps and a scalar `hardener_threshold` to the model's output."""
    graph = head_of(proto, layer, signature)
    feature = graph.inputs[0]
    threshold = gs.Variable(THRESHOLD_INPUT, np.float32, [])
    append_guard(graph, feature, threshold, opset_of(proto))
    graph.inputs.append(threshold)
    return gs.export_onnx(graph, do_type_check=False)
