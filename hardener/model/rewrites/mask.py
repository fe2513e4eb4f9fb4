"""Mask: one `Mul` behind the feature layer, or one `Where` where it holds integers.

y[n, c, i, j] = keep[c] · x[n, c, i, j],   keep[c] ∈ {0, 1}
"""

from collections.abc import Collection

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.model.element_types import element_types
from hardener.model.surgery import append_mask, rebuilt, unused_prefix
from hardener.model.topology import FeatureLayer


def mask(proto: onnx.ModelProto, layer: FeatureLayer, channels: Collection[int]) -> onnx.ModelProto:
    """Returns a model whose named channels of the feature layer read as zero.

    Raises:
        ModelError: the feature layer is an output of the model.
    """
    element_type = element_types(proto, [layer.name])[layer.name]
    pruned = np.zeros(layer.channels, np.bool_)
    pruned[sorted(channels)] = True
    pruned = pruned.reshape(layer.along_channels(-1))
    graph = gs.import_onnx(proto)
    prefix = unused_prefix(graph, layer)
    append_mask(
        graph,
        layer,
        element_type,
        gs.Constant(f"{prefix}_keep", (~pruned).astype(element_type)),
        gs.Constant(f"{prefix}_pruned", pruned),
    )
    return rebuilt(proto, graph)
