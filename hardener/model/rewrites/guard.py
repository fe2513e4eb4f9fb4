"""Guard: the paper's per-input reading. A channel that peaks is zeroed for that image alone.

y[n, c] = 0 if ‖x[n, c]‖∞ > threshold, else x[n, c]
"""

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.model.element_types import element_types
from hardener.model.surgery import append_guard, opset_of, rebuilt, unused_prefix
from hardener.model.topology import FeatureLayer


def guard(proto: onnx.ModelProto, layer: FeatureLayer, threshold: float) -> onnx.ModelProto:
    """Returns a model that zeroes, image by image, the channels whose ℓ∞ exceeds `threshold`.

    An image on which no channel exceeds it keeps its logits bit for bit.

    Raises:
        ModelError: the feature layer is an output of the model.

    Source: Cheng et al. 2020, section 5.1, read per input.
    """
    element_type = element_types(proto, [layer.name])[layer.name]
    graph = gs.import_onnx(proto)
    name = f"{unused_prefix(graph, layer)}_threshold"
    limit = gs.Constant(name, np.array(threshold, np.float32))
    append_guard(graph, layer, element_type, limit, opset_of(proto))
    return rebuilt(proto, graph)
