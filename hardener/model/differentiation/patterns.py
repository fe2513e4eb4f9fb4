"""Finds a few nodes that together are one operator of torch, which is quicker and keeps less."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from hardener.model.differentiation.nodes import Node
from hardener.model.differentiation.table import OWN_DOMAIN


@dataclass(frozen=True, eq=False)
class _Graph:
    """What the nodes around a node are."""

    makers: Mapping[str, Node]
    constants: Mapping[str, Tensor]
    readers: Counter[str]

    def made_by(self, name: str, *operators: str) -> Node | None:
        """The node that makes a tensor, where it is one of some operators."""
        node = self.makers.get(name)
        return node if node is not None and node.op in operators else None

    def split(self, node: Node) -> tuple[str, float] | None:
        """A tensor and the number that a node combines it with."""
        if len(node.inputs) != 2:
            return None
        for value, other in (node.inputs, node.inputs[::-1]):
            if other in self.constants and self.constants[other].numel() == 1:
                return value, float(self.constants[other].item())
        return None


def with_patterns(
    nodes: Sequence[Node], constants: Mapping[str, Tensor], readers: Counter[str], result: str
) -> list[Node]:
    """Puts one node in the place of the last node of each pattern.

    - MatMul by a constant matrix, then Add of a constant row: one product with a bias, which
      stays in 16 bits under autocast.
    - x · (1 + erf(x / √2)) / 2, in the orders that exporters write: Gelu.
    - x · sigmoid(x): Swish.

    Args:
        nodes: in order.
        constants: tensors that depend on no input.
        readers: how many nodes read each tensor.
        result: the tensor that is wanted; nodes that no longer lead to it are left out.
    """
    makers = {node.outputs[0]: node for node in nodes if not node.domain}
    graph = _Graph(makers, constants, readers)
    made = [_with_bias(node, graph) or _gated(node, graph) or node for node in nodes]
    names, kept = {result}, list[Node]()
    for node in reversed(made):
        if names.intersection(node.outputs):
            kept.append(node)
            names.update(node.inputs)
    return kept[::-1]


def _with_bias(node: Node, graph: _Graph) -> Node | None:
    if node.domain or node.op != "Add":
        return None
    for value, bias in (node.inputs, node.inputs[::-1]):
        product = graph.made_by(value, "MatMul")
        if product is None or bias not in graph.constants or graph.readers[value] != 1:
            continue
        matrix = graph.constants.get(product.inputs[1])
        row = graph.constants[bias]
        if matrix is None or matrix.dim() != 2 or row.shape != matrix.shape[1:]:
            continue
        inputs = (*product.inputs, bias)
        return replace(product, domain=OWN_DOMAIN, op="Affine", inputs=inputs, outputs=node.outputs)
    return None


def _gated(node: Node, graph: _Graph) -> Node | None:
    """Gelu or Swish, if the node is the last product of one."""
    if node.domain or node.op != "Mul":
        return None
    half = graph.split(node)
    if half is None:
        gelu = _gelu(node.inputs, graph, halved=True)  # (x / 2) · gate, or x · (gate / 2)
    else:
        product = graph.made_by(half[0], "Mul")  # (x · gate) / 2
        found = product is not None and half[1] == 0.5
        gelu = _gelu(product.inputs, graph, halved=False) if product and found else None
    if gelu is not None:
        return Node(node.name, "", "Gelu", 20, (gelu,), node.outputs, {})
    for value, gate in (node.inputs, node.inputs[::-1]):
        sigmoid = graph.made_by(gate, "Sigmoid")
        if sigmoid is not None and sigmoid.inputs[0] == value:
            return Node(node.name, "", "Swish", 24, (value,), node.outputs, {})
    return None


def _gelu(inputs: Sequence[str], graph: _Graph, *, halved: bool) -> str | None:
    """The x of a product of x and 1 + erf(x / √2), one of them halved where that is asked."""
    for value, gate in (inputs, inputs[::-1]):
        if not halved:
            if _gate_source(gate, graph) == value:
                return value
            continue
        source = _gate_source(gate, graph)
        if source is not None and _halved(value, graph) == source:
            return source
        inner = _halved(gate, graph)
        if inner is not None and _gate_source(inner, graph) == value:
            return value
    return None


def _halved(name: str, graph: _Graph) -> str | None:
    """The x of x / 2."""
    return _scaled(graph.made_by(name, "Mul", "Div"), 0.5, graph)


def _scaled(node: Node | None, factor: float, graph: _Graph) -> str | None:
    """The x of x · factor, which may be written as a division."""
    parts = None if node is None else graph.split(node)
    if node is None or parts is None or (node.op == "Div" and parts[0] != node.inputs[0]):
        return None
    given = parts[1] if node.op == "Mul" else 1 / parts[1] if parts[1] else 0.0
    return parts[0] if math.isclose(given, factor, rel_tol=1e-5) else None


def _gate_source(name: str, graph: _Graph) -> str | None:
    """The x of 1 + erf(x / √2)."""
    total = graph.made_by(name, "Add")
    one = None if total is None else graph.split(total)
    erf = None if one is None or one[1] != 1 else graph.made_by(one[0], "Erf")
    if erf is None:
        return None
    return _scaled(graph.made_by(erf.inputs[0], "Mul", "Div"), math.sqrt(0.5), graph)
