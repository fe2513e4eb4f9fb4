"""Small cuts in an ONNX graph that rewrites and measurements are made of.

Weights are never written in place: graph-surgeon's copies share them with their original.
"""

from collections.abc import Collection, Sequence

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.errors import ModelError


def rebuilt(original: onnx.ModelProto, graph: gs.Graph) -> onnx.ModelProto:
    """The original model around a changed graph: same opsets and metadata.

    Graph inputs and outputs are taken over from the original word for word. IR version 3 wants
    every weight among the inputs; it becomes 4, which does not.
    """
    exported = gs.export_onnx(graph)
    model = onnx.ModelProto()
    model.CopyFrom(original)
    model.ir_version = max(model.ir_version, 4)
    model.graph.CopyFrom(exported.graph)
    del model.graph.input[:]
    model.graph.input.extend(original.graph.input)
    del model.graph.output[:]
    model.graph.output.extend(original.graph.output)
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


def append_mask(graph: gs.Graph, feature: gs.Variable, keep: gs.Tensor) -> None:
    """Multiplies the feature layer by `keep`, one factor a channel (1, C, 1, 1)."""
    masked = gs.Variable(f"{feature.name}/hardener_masked", dtype=feature.dtype)
    node = gs.Node("Mul", f"{feature.name}/hardener_mask", inputs=[feature, keep], outputs=[masked])
    _insert_behind(graph, feature, [node])
    redirect_readers(graph, feature, masked, but=[node])


def append_guard(graph: gs.Graph, feature: gs.Variable, threshold: gs.Tensor, opset: int) -> None:
    """Zeroes a channel of one image where its ℓ∞ norm on that image exceeds the threshold.

    `Where` picks the untouched value below the threshold, so that those images keep their
    logits bit for bit.

    Args:
        graph: the graph to change.
        feature: the feature layer, (N, C, H, W).
        threshold: a scalar or (1, C, 1, 1), in activation units.
        opset: of the model; `ReduceMax` takes its axes as an input since 18.
    """
    name = f"{feature.name}/hardener_guard"
    dtype = feature.dtype or graph.inputs[0].dtype
    absolute = gs.Variable(f"{name}_abs", dtype)
    peak = gs.Variable(f"{name}_peak", dtype)
    fires = gs.Variable(f"{name}_fires", np.bool_)
    guarded = gs.Variable(f"{name}_out", dtype)
    zero = gs.Constant(f"{name}_zero", np.zeros((), dtype))
    first = gs.Node("Abs", f"{name}_abs", inputs=[feature], outputs=[absolute])
    last = gs.Node("Where", name, inputs=[fires, zero, feature], outputs=[guarded])
    nodes = [
        first,
        spatial_reduction("ReduceMax", absolute, peak, opset, f"{name}_peak", keep=True),
        gs.Node("Greater", f"{name}_fires", inputs=[peak, threshold], outputs=[fires]),
        last,
    ]
    _insert_behind(graph, feature, nodes)
    redirect_readers(graph, feature, guarded, but=[first, last])


def spatial_reduction(
    op: str, source: gs.Variable, target: gs.Variable, opset: int, name: str, *, keep: bool = False
) -> gs.Node:
    """A reduction over height and width in the form that the opset asks for."""
    axes_are_input = opset >= (13 if op == "ReduceSum" else 18)
    inputs: list[gs.Tensor] = [source]
    attrs: dict[str, int | list[int]] = {"keepdims": int(keep)}
    if axes_are_input:
        inputs.append(gs.Constant(f"{name}_axes", np.array([2, 3], np.int64)))
    else:
        attrs["axes"] = [2, 3]
    return gs.Node(op, name, attrs=attrs, inputs=inputs, outputs=[target])


def _insert_behind(graph: gs.Graph, tensor: gs.Variable, nodes: Sequence[gs.Node]) -> None:
    """Puts nodes where the tensor is computed, so that the graph stays in running order."""
    makers = [p for p, node in enumerate(graph.nodes) if any(o is tensor for o in node.outputs)]
    start = makers[0] + 1 if makers else 0
    for offset, node in enumerate(nodes):
        graph.nodes.insert(start + offset, node)
