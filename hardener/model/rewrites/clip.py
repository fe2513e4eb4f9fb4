"""Clip: an upper bound on the activations of each channel; one `Min` behind the feature layer.

y[n, c, i, j] = min(x[n, c, i, j], bound[c])
"""

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray, FloatArray
from hardener.errors import ModelError
from hardener.model.element_types import ElementType, element_types
from hardener.model.surgery import (
    append_clip,
    opset_of,
    quantisation_of,
    rebuilt,
    unused_prefix,
)
from hardener.model.topology import FeatureLayer

_INTEGER_MIN_OPSET = 12


def clip(proto: onnx.ModelProto, layer: FeatureLayer, bound: FloatArray) -> onnx.ModelProto:
    """Returns a model whose feature layer does not exceed its bounds.

    In the file bounds are rounded to the layer's element type. Images below them are only copied;
    onnxruntime may round otherwise what it would have joined or laid out across the new node.

    Args:
        proto: the model.
        layer: its feature layer.
        bound: in activation units; () for all channels alike, or (C,).

    Raises:
        ModelError: the feature layer is an output of the model, or holds integers of unknown
            scale or of an opset that has no minimum of them.

    Source: Wang, Xiang, Miller and Kesidis, MM-BD, IEEE S&P 2024, the mitigation MM-BM. There
    bounds of several layers are fitted by gradient descent: the squared change of the logits of
    clean images plus a multiple of the bounds' norm, which weighs more as long as accuracy holds.
    Here one layer is bounded, by numbers that the caller fitted on clean images.
    """
    element_type = element_types(proto, [layer.name])[layer.name]
    if np.issubdtype(element_type, np.integer) and opset_of(proto) < _INTEGER_MIN_OPSET:
        raise ModelError(
            f"the feature layer {layer.name!r} holds integers, of which opset {opset_of(proto)} "
            f"takes no minimum: convert the model to {_INTEGER_MIN_OPSET} or newer "
            "(onnx.version_converter)"
        )
    graph = gs.import_onnx(proto)
    form = layer.along_channels(-1) if bound.ndim else ()
    values = _stored(bound, layer, element_type).reshape(form)
    append_clip(graph, layer, gs.Constant(f"{unused_prefix(graph, layer)}_bound", values))
    return rebuilt(proto, graph)


def _stored(bound: FloatArray, layer: FeatureLayer, element_type: ElementType) -> AnyArray:
    """Bounds as values of the layer's type."""
    with np.errstate(over="ignore"):  # a bound beyond the type's range lowers nothing
        if not np.issubdtype(element_type, np.integer):
            return bound.astype(element_type)
        scale, zero_point = quantisation_of(layer)
        steps = np.rint(bound / np.float32(scale)) + zero_point
    ends = np.iinfo(element_type.name)
    # Of one bound and one scale numpy makes a number, which is no array.
    return np.asarray(steps.clip(ends.min, ends.max), element_type)
