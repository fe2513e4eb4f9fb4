"""How far behind the feature layer a channel mask may stand without changing what it does.

A channel that is zero everywhere is pooled to zero, one that is untouched is pooled to what it
always was: pool(keep * x) = keep * pool(x) for keep in {0, 1}, bit for bit. Behind the poolings
the maps are a fraction of the size, and so is what a sweep keeps and computes.
"""

from dataclasses import replace

import onnx
import onnx_graphsurgeon as gs

from hardener.model.operators import operator
from hardener.model.topology import FeatureLayer
from hardener.model.weights import constant_of

_POOLS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"})
_REDUCTIONS = frozenset({"ReduceMax", "ReduceMean", "ReduceSum"})
_COPIES = frozenset({"Dropout", "Identity"})


def behind_pooling(proto: onnx.ModelProto, layer: FeatureLayer) -> FeatureLayer:
    """The feature layer as the poolings leave it that alone read it.

    Args:
        proto: the model.
        layer: its feature layer.

    Returns:
        The last tensor of the same channels, on the same axis and of the same rank; the layer
        itself where nothing is pooled, where another node or an output reads it too, or where
        the channels are not on axis 1.
    """
    graph = gs.import_onnx(proto)
    tensor = graph.tensors()[layer.name]
    while (
        (layer.axis, layer.rank) == (1, 4)
        and len(tensor.outputs) == 1
        and tensor not in graph.outputs
    ):
        (node,) = tensor.outputs
        if len(node.outputs) > 1 or not _pools(node):
            break
        tensor = node.outputs[0]
    if tensor in graph.outputs:
        return layer
    return replace(layer, name=tensor.name)


def _pools(node: gs.Node) -> bool:
    if operator(node) in _REDUCTIONS:
        axes = node.attrs.get("axes")
        if len(node.inputs) > 1:
            axes = constant_of(node.inputs[1])
        if axes is None or not node.attrs.get("keepdims", 1):
            return False
        # Negative axes count from a rank that a graph need not state: -1 and -2 lie behind
        # the channels of (N, C, H, W).
        return all(int(axis) in (2, 3, -1, -2) for axis in axes)
    return operator(node) in _POOLS | _COPIES
