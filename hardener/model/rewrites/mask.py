"""Mask: one `Mul` behind the feature layer.

y[n, c, i, j] = keep[c] · x[n, c, i, j],   keep[c] ∈ {0, 1}
"""

from collections.abc import Collection

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.model.surgery import append_mask, rebuilt
from hardener.model.topology import FeatureLayer


def mask(proto: onnx.ModelProto, layer: FeatureLayer, channels: Collection[int]) -> onnx.ModelProto:
    """Returns a model whose named channels of the feature layer read as zero.

    Raises:
        ModelError: the feature layer is an output of the model.
    """
    graph = gs.import_onnx(proto)
    feature = graph.tensors()[layer.name]
    keep = np.ones((1, layer.channels, 1, 1), np.float32)
    keep[:, sorted(channels)] = 0
    append_mask(graph, feature, gs.Constant(f"{layer.name}/hardener_keep", keep))
    return rebuilt(proto, graph)
