"""Small additions to an ONNX graph that rewrites and measurements are made of.

Weights are never written in place: graph-surgeon's copies share them with their original.
"""

from collections.abc import Collection, Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.errors import ModelError
from hardener.model.element_types import ElementType
from hardener.model.operators import NEVER_NEGATIVE, operator
from hardener.model.topology import FeatureLayer


def rebuilt(
    original: onnx.ModelProto, graph: gs.Graph, *more: onnx.ValueInfoProto
) -> onnx.ModelProto:
    """The original model around a changed graph: same opsets and metadata.

    Graph inputs and outputs are taken over from the original word for word; `more` are further
    outputs behind them. IR version 3 wants every weight among the inputs; it becomes 4, which
    does not.
    """
    exported = gs.export_onnx(graph)
    model = onnx.ModelProto()
    model.CopyFrom(original)
    model.ir_version = max(model.ir_version, 4)
    model.graph.CopyFrom(exported.graph)
    del model.graph.input[:]
    model.graph.input.extend(original.graph.input)
    del model.graph.output[:]
    model.graph.output.extend((*original.graph.output, *more))
    return model


def opset_of(proto: onnx.ModelProto) -> int:
    """Version of the standard ONNX operators that the model uses."""
    return next(item.version for item in proto.opset_import if item.domain in ("", "ai.onnx"))


def redirect_readers(
    graph: gs.Graph, old: gs.Variable, new: gs.Variable, but: Collection[gs.Node]
) -> None:
    """Lets every reader of `old` read `new`, except the nodes that make `new` out of `old`.

    Raises:
        ModelError: `old` is an output of the model, which must keep its name and values.
    """
    if any(value is old for value in graph.outputs):
        raise ModelError(f"the feature layer {old.name!r} is itself an output of the model")
    for node in list(old.outputs):
        if any(node is maker for maker in but):
            continue
        for position, value in enumerate(node.inputs):
            if value is old:
                node.inputs[position] = new


def append_mask(
    graph: gs.Graph,
    layer: FeatureLayer,
    element_type: ElementType,
    keep: gs.Tensor,
    pruned: gs.Tensor,
) -> None:
    """Zeroes channels of the feature layer.

    A floating-point layer is multiplied by `keep`; of an integer one the pruned channels become
    what dequantises to zero.

    Args:
        graph: the graph to change.
        layer: the feature layer.
        element_type: of its activations.
        keep: 1 or 0 of that type for each channel, in a shape that broadcasts over the layer.
        pruned: the same as truth values, true where `keep` is 0; either is used.
    """
    feature = graph.tensors()[layer.name]
    name = unused_prefix(graph, layer)
    masked = gs.Variable(f"{name}_masked", dtype=element_type)
    name = f"{name}_mask"
    if np.issubdtype(element_type, np.integer):
        inputs = [pruned, _zero_of(name, layer, element_type), feature]
        node = gs.Node("Where", name, inputs=inputs, outputs=[masked])
    else:
        node = gs.Node("Mul", name, inputs=[feature, keep], outputs=[masked])
    insert_behind(graph, feature, [node])
    redirect_readers(graph, feature, masked, but=[node])


def append_guard(
    graph: gs.Graph,
    layer: FeatureLayer,
    element_type: ElementType,
    threshold: gs.Tensor,
    opset: int,
    zeroed_at: str | None = None,
) -> gs.Variable:
    """Zeroes a channel of one image where its ℓ∞ norm on that image exceeds the threshold.

    `Where` picks the untouched value below the threshold, so that those images keep their
    logits bit for bit.

    Args:
        graph: the graph to change.
        layer: the feature layer.
        element_type: of its activations.
        threshold: float32, in activation units: a scalar, or one value a channel in a shape that
            broadcasts over the layer.
        opset: of the model; `ReduceMax` takes its axes as an input since 18.
        zeroed_at: where channels are zeroed, from `behind_pooling`; by default at the layer.

    Returns:
        Truth values, true where a channel is zeroed; 1 long on the axes of the positions.
    """
    feature = graph.tensors()[layer.name]
    zeroed = graph.tensors()[zeroed_at or layer.name]
    name = f"{unused_prefix(graph, layer)}_guard"
    fires = gs.Variable(f"{name}_fires", np.bool_)
    guarded = gs.Variable(f"{name}_out", element_type)
    nodes, values = as_float32(graph, layer, element_type, name)
    peak = gs.Variable(f"{name}_peak", np.float32)
    nodes += peak_nodes(feature, values, peak, layer.positions, opset, name, keep=True)
    nodes.append(gs.Node("Greater", f"{name}_fires", inputs=[peak, threshold], outputs=[fires]))
    zero = _zero_of(name, layer, element_type)
    last = gs.Node("Where", name, inputs=[fires, zero, zeroed], outputs=[guarded])
    insert_behind(graph, zeroed, [last])
    insert_behind(graph, feature, nodes)
    redirect_readers(graph, zeroed, guarded, but=[*nodes, last])
    return fires


def append_clip(graph: gs.Graph, layer: FeatureLayer, bound: gs.Tensor) -> None:
    """Lowers activations of the feature layer to a bound where they exceed it.

    Args:
        graph: the graph to change.
        layer: the feature layer.
        bound: of the layer's element type: a scalar, or one value a channel in a shape that
            broadcasts over the layer.
    """
    feature = graph.tensors()[layer.name]
    name = f"{unused_prefix(graph, layer)}_clip"
    clipped = gs.Variable(f"{name}_out", bound.dtype)
    node = gs.Node("Min", name, inputs=[feature, bound], outputs=[clipped])
    insert_behind(graph, feature, [node])
    redirect_readers(graph, feature, clipped, but=[node])


def peak_nodes(
    feature: gs.Variable,
    values: gs.Variable,
    target: gs.Variable,
    axes: Sequence[int],
    opset: int,
    name: str,
    *,
    keep: bool = False,
) -> list[gs.Node]:
    """Nodes that reduce values to their largest absolute one, without a copy of absolute values.

    It is the maximum where nothing is negative, else the larger of the maximum and the minimum's
    negative.

    Args:
        feature: the tensor that the values are of, which tells whether any is negative.
        values: the same in float32, from `as_float32`.
        target: what is computed.
        axes: to reduce.
        opset: of the model.
        name: how names of new nodes and tensors begin.
        keep: whether reduced axes stay, 1 long.
    """
    if feature.inputs and operator(feature.inputs[0]) in NEVER_NEGATIVE:
        if keep and tuple(axes) == (2, 3):
            # onnxruntime pools in the layout in which it convolves, and reduces in no other but
            # the plain one, into which it would have to copy the map.
            return [gs.Node("GlobalMaxPool", f"{name}_max", inputs=[values], outputs=[target])]
        return [reduction("ReduceMax", values, target, axes, opset, f"{name}_max", keep=keep)]
    ends = [gs.Variable(f"{name}_{end}", np.float32) for end in ("max", "min", "negated")]
    highest, lowest, negated = ends
    return [
        reduction("ReduceMax", values, highest, axes, opset, highest.name, keep=keep),
        reduction("ReduceMin", values, lowest, axes, opset, lowest.name, keep=keep),
        gs.Node("Neg", negated.name, inputs=[lowest], outputs=[negated]),
        gs.Node("Max", f"{name}_peak", inputs=[highest, negated], outputs=[target]),
    ]


def as_float32(
    graph: gs.Graph, layer: FeatureLayer, element_type: ElementType, name: str
) -> tuple[list[gs.Node], gs.Variable]:
    """Nodes that turn the feature layer into float32 in its own units, and what they give.

    Raises:
        ModelError: it holds integers, and what they stand for is not known.
    """
    feature = graph.tensors()[layer.name]
    if element_type == np.float32:
        return [], feature
    values = gs.Variable(f"{name}_float32", np.float32)
    if np.issubdtype(element_type, np.integer):
        zero = _zero_of(name, layer, element_type)
        scale = gs.Constant(f"{name}_scale", np.array(layer.scale, np.float32))
        inputs = [feature, scale, zero]
        return [gs.Node("DequantizeLinear", f"{name}_float32", {}, inputs, [values])], values
    to = {"to": int(onnx.TensorProto.FLOAT)}
    return [gs.Node("Cast", f"{name}_float32", to, [feature], [values])], values


def unused_prefix(graph: gs.Graph, layer: FeatureLayer) -> str:
    """How names of new nodes and tensors begin: a pruned model may be pruned again."""
    taken = {*graph.tensors(), *(node.name for node in graph.nodes)}
    prefix = f"{layer.name}/hardener"
    number = 1
    while any(name.startswith(f"{prefix}_") for name in taken):
        number += 1
        prefix = f"{layer.name}/hardener{number}"
    return prefix


def quantisation_of(layer: FeatureLayer) -> tuple[float, int]:
    """Scale and zero point of a feature layer of integers.

    Raises:
        ModelError: they are not known.
    """
    if layer.scale is None or layer.zero_point is None:
        raise ModelError(
            f"the feature layer {layer.name!r} holds integers of unknown scale: name another "
            "one with --layer"
        )
    return layer.scale, layer.zero_point


def _zero_of(name: str, layer: FeatureLayer, element_type: ElementType) -> gs.Constant:
    """What stands for zero among the feature layer's values.

    Raises:
        ModelError: it holds integers, and which of them stands for zero is not known.
    """
    if np.issubdtype(element_type, np.integer):
        quantisation_of(layer)
    return gs.Constant(f"{name}_zero", np.array(layer.zero_point or 0, element_type))


def reduction(
    op: str,
    source: gs.Variable,
    target: gs.Variable,
    axes: Sequence[int],
    opset: int,
    name: str,
    *,
    keep: bool = False,
) -> gs.Node:
    """A reduction over some axes in the form that the opset asks for."""
    axes_are_input = opset >= (13 if op == "ReduceSum" else 18)
    inputs: list[gs.Tensor] = [source]
    attrs: dict[str, int | list[int]] = {"keepdims": int(keep)}
    if axes_are_input:
        inputs.append(gs.Constant(f"{name}_axes", np.array(axes, np.int64)))
    else:
        attrs["axes"] = list(axes)
    return gs.Node(op, name, attrs=attrs, inputs=inputs, outputs=[target])


def insert_behind(graph: gs.Graph, tensor: gs.Variable, nodes: Sequence[gs.Node]) -> None:
    """Puts nodes where the tensor is computed, so that the graph stays in running order."""
    makers = [p for p, node in enumerate(graph.nodes) if any(o is tensor for o in node.outputs)]
    start = makers[0] + 1 if makers else 0
    for offset, node in enumerate(nodes):
        graph.nodes.insert(start + offset, node)
