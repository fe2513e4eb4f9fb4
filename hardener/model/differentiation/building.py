"""Reads a graph into a plan: which function runs on which tensors, in order."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import onnx
import onnx.inliner
import torch
from torch import Tensor

from hardener.errors import ModelError
from hardener.model.differentiation.lowering import lowered
from hardener.model.differentiation.nodes import Node, Step
from hardener.model.differentiation.shapes import to_torch
from hardener.model.differentiation.table import build


@dataclass(frozen=True, eq=False)
class NetworkPlan:
    """A graph ready to run.

    Attributes:
        nodes: in an order in which every input is there before it is read.
        steps: what each node computes.
        constants: tensors that depend on no input, by name.
        image: name of the input.
        result: name of the output.
        batch: how many images every run takes, None where any number.
    """

    nodes: tuple[Node, ...]
    steps: tuple[Step, ...]
    constants: dict[str, Tensor]
    image: str
    result: str
    batch: int | None = None

    def with_constants(self, values: Mapping[str, Tensor]) -> "NetworkPlan":
        """The same graph with other values of some constants, by name."""
        return replace(self, constants={**self.constants, **values})


def read_plan(proto: onnx.ModelProto, image: str, result: str) -> NetworkPlan:
    """Plans how to compute one tensor from the image input.

    What depends on no input is computed here. Nodes that the result does not need are left out.

    Args:
        proto: the model; it is not changed.
        image: name of its input.
        result: name of the tensor that is wanted.

    Raises:
        ModelError: an operator or an attribute is not supported, or the result does not depend
            on the images.
    """
    if proto.functions:
        proto = onnx.inliner.inline_local_functions(proto)
    opsets = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in proto.opset_import}
    constants: dict[str, Tensor] = {}
    nodes: list[Node] = []
    with torch.no_grad():
        _read_graph(proto.graph, {result}, opsets, constants, nodes)
    if result in constants:
        raise ModelError("the model's output does not depend on the images")
    steps = [build(node) for node in nodes]
    return NetworkPlan(tuple(nodes), tuple(steps), _used(constants, nodes), image, result)


def _read_graph(
    graph: onnx.GraphProto,
    wanted: set[str],
    opsets: dict[str, int],
    constants: dict[str, Tensor],
    nodes: list[Node],
) -> None:
    """Adds what a graph holds to constants and nodes."""
    needed, names = _needed(graph.node, wanted)
    for tensor in graph.initializer:
        if tensor.name in names:
            constants[tensor.name] = _initializer(tensor)
    if any(sparse.values.name in names for sparse in graph.sparse_initializer):
        raise ModelError("the model holds sparse weights: export it with dense ones")
    for proto in needed:
        if proto.op_type == "If" and proto.domain in ("", "ai.onnx"):
            _inline(proto, opsets, constants, nodes)
            continue
        for node in lowered(_read_node(proto, opsets)):
            _add(node, constants, nodes)


def _add(node: Node, constants: dict[str, Tensor], nodes: list[Node]) -> None:
    """Adds a node, or what it gives where all of its inputs are constants."""
    step = build(node)
    if not all(name in constants for name in node.inputs if name):
        if node.op == "BatchNormalization" and node.integer("training_mode", 0):
            raise node.refusal("it takes its statistics from the batch of images")
        nodes.append(node)
        return
    try:
        values = step(*[constants[name] if name else None for name in node.inputs])
    except ModelError:
        raise
    except Exception as error:  # torch raises whatever a damaged constant leads to
        raise node.refusal(f"{type(error).__name__} {' '.join(str(error).split())[:150]}") from None
    found = values if isinstance(values, tuple) else (values,)
    constants.update({name: value for name, value in zip(node.outputs, found) if name})  # noqa: B905  outputs at the end may be left out


def _inline(
    proto: onnx.NodeProto,
    opsets: dict[str, int],
    constants: dict[str, Tensor],
    nodes: list[Node],
) -> None:
    """Puts the branch of an If in its place."""
    node = _read_node(proto, opsets)
    condition = constants.get(proto.input[0])
    if condition is None:
        raise node.refusal("its condition depends on the images")
    branch = node.attributes["then_branch" if bool(condition.item()) else "else_branch"].g
    results = [value.name for value in branch.output]
    _read_graph(branch, set(results), opsets, constants, nodes)
    for inner, outer in zip(results, proto.output, strict=True):
        _add(Node(node.name, "", "Identity", node.opset, (inner,), (outer,), {}), constants, nodes)


def _needed(
    nodes: Sequence[onnx.NodeProto], wanted: set[str]
) -> tuple[list[onnx.NodeProto], set[str]]:
    """The nodes that lead to some tensors, in order, and all tensors that they read."""
    names, kept = set(wanted), []
    for node in reversed(nodes):
        if names.intersection(node.output):
            kept.append(node)
            names.update(_read_by(node))
    return kept[::-1], names


def _read_by(node: onnx.NodeProto) -> Iterable[str]:
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _read_by(inner)
        for value in attribute.g.output:  # a branch may give what lies outside
            yield value.name


def _read_node(proto: onnx.NodeProto, opsets: dict[str, int]) -> Node:
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    return Node(
        name=proto.name or next(filter(None, proto.output), proto.op_type),
        domain=domain,
        op=proto.op_type,
        opset=opsets.get(domain, 1),
        inputs=tuple(proto.input),
        outputs=tuple(proto.output),
        attributes={attribute.name: attribute for attribute in proto.attribute},
    )


def _initializer(tensor: onnx.TensorProto) -> Tensor:
    try:
        return to_torch(onnx.numpy_helper.to_array(tensor))
    except Exception as error:  # onnx raises whatever a damaged tensor leads to
        raise ModelError(
            f"weight {tensor.name!r} cannot be read: {' '.join(str(error).split())[:150]}"
        ) from error


def _used(constants: dict[str, Tensor], nodes: Sequence[Node]) -> dict[str, Tensor]:
    names = {name for node in nodes for name in node.inputs}
    return {name: value for name, value in constants.items() if name in names}
