"""Models whose pruning is an input, so that many prunings are tried without rewriting.

The trunk runs once on an image; each pruning then costs one run of the head.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.model.element_types import ElementType, element_types
from hardener.model.operators import PARAMETER_PREFIX
from hardener.model.signature import Signature
from hardener.model.splitting import split
from hardener.model.surgery import (
    append_clip,
    append_guard,
    append_mask,
    opset_of,
    quantisation_of,
)
from hardener.model.topology import FeatureLayer

MakeHead: TypeAlias = Callable[[onnx.ModelProto, FeatureLayer, Signature], onnx.ModelProto]

KEEP_INPUT = f"{PARAMETER_PREFIX}keep"
THRESHOLD_INPUT = f"{PARAMETER_PREFIX}threshold"


def trunk_model(
    proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature
) -> onnx.ModelProto:
    """Images to the feature layer and what leads around it."""
    return gs.export_onnx(split(proto, layer, signature).trunk, do_type_check=False)


def maskable_head(
    proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature
) -> onnx.ModelProto:
    """What the trunk gives and `hardener_keep` (C,), 1 or 0, to the class scores.

    Raises:
        ModelError: the class scores do not depend on the feature layer.
    """
    graph = split(proto, layer, signature).head
    mask_by_input(graph, layer, graph.inputs[0].dtype)
    graph.cleanup(remove_unused_graph_inputs=False)
    return gs.export_onnx(graph, do_type_check=False)


def mask_by_input(graph: gs.Graph, layer: FeatureLayer, element_type: ElementType) -> None:
    """Masks the feature layer by a further input of the graph, `hardener_keep` (C,)."""
    flat = gs.Variable(KEEP_INPUT, np.float32, [layer.channels])
    form = gs.Constant(f"{KEEP_INPUT}/form", np.array(layer.along_channels(-1), np.int64))
    broadcast = gs.Variable(f"{KEEP_INPUT}/broadcast", np.float32)
    keep = gs.Variable(f"{KEEP_INPUT}/typed", element_type)
    kept = gs.Variable(f"{KEEP_INPUT}/kept", np.bool_)
    pruned = gs.Variable(f"{KEEP_INPUT}/pruned", np.bool_)
    append_mask(graph, layer, element_type, keep, pruned)
    code = int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(element_type)))
    graph.nodes[:0] = [
        gs.Node("Reshape", f"{KEEP_INPUT}/form", {}, [flat, form], [broadcast]),
        gs.Node("Cast", f"{KEEP_INPUT}/typed", {"to": code}, [broadcast], [keep]),
        gs.Node("Cast", f"{KEEP_INPUT}/kept", {"to": int(onnx.TensorProto.BOOL)}, [keep], [kept]),
        gs.Node("Not", f"{KEEP_INPUT}/pruned", {}, [kept], [pruned]),
    ]
    graph.inputs.append(flat)


def guardable_head(
    proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature
) -> onnx.ModelProto:
    """What the trunk gives and `hardener_threshold`, () or (C,), to the class scores.

    Raises:
        ModelError: the class scores do not depend on the feature layer.
    """
    graph = split(proto, layer, signature).head
    threshold = _threshold_input(graph, layer)
    append_guard(graph, layer, graph.inputs[0].dtype, threshold, opset_of(proto))
    graph.toposort()
    return gs.export_onnx(graph, do_type_check=False)


def clippable_head(
    proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature
) -> onnx.ModelProto:
    """What the trunk gives and `hardener_threshold`, () or (C,), as bounds, to the class scores.

    Raises:
        ModelError: the class scores do not depend on the feature layer, or it holds integers and
            what they stand for is not known.
    """
    graph = split(proto, layer, signature).head
    bound = _threshold_input(graph, layer)
    in_file, in_run = element_types(proto, [layer.name])[layer.name], graph.inputs[0].dtype
    if np.issubdtype(in_file, np.integer):
        scale, zero_point = quantisation_of(layer)
        parameters = (
            gs.Constant(f"{THRESHOLD_INPUT}/scale", np.array(scale, np.float32)),
            gs.Constant(f"{THRESHOLD_INPUT}/zero_point", np.array(zero_point, in_file)),
        )
        bound = _append(graph, "QuantizeLinear", in_file, bound, *parameters)
    else:  # a bfloat16 model's bounds are rounded in its file, and it is run in float32
        for element_type in (in_file, in_run):
            code = int(onnx.helper.np_dtype_to_tensor_dtype(element_type))
            bound = _append(graph, "Cast", element_type, bound, to=code)
    append_clip(graph, layer, bound)
    graph.toposort()
    return gs.export_onnx(graph, do_type_check=False)


def _threshold_input(graph: gs.Graph, layer: FeatureLayer) -> gs.Variable:
    """A further input of the graph, `hardener_threshold`, in a shape that broadcasts."""
    threshold = gs.Variable(THRESHOLD_INPUT, np.float32)
    graph.inputs.append(threshold)
    form = gs.Constant(f"{THRESHOLD_INPUT}/form", np.array(layer.along_channels(-1), np.int64))
    return _append(graph, "Reshape", np.dtype(np.float32), threshold, form)


def _append(
    graph: gs.Graph, op: str, element_type: ElementType, *inputs: gs.Tensor, **attrs: int
) -> gs.Variable:
    """What a new node at the end of the graph gives."""
    name = f"{THRESHOLD_INPUT}/{op} {len(graph.nodes)}"
    result = gs.Variable(name, element_type)
    graph.nodes.append(gs.Node(op, name, attrs, list(inputs), [result]))
    return result
