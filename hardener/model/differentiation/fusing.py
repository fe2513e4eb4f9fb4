"""Rewrites a plan so that it gives the same numbers in less time and memory."""

from collections import Counter
from dataclasses import replace

import torch
from torch import Tensor

from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.nodes import Node
from hardener.model.differentiation.patterns import with_patterns
from hardener.model.differentiation.table import OWN_DOMAIN, build

_KEEP_NO_OUTPUT = frozenset({"Add", "BatchNormalization", "Conv", "Gemm", "Sub"})
"""Operators whose backward pass does not need what they gave, so that it may be overwritten."""


def fused(plan: NetworkPlan) -> NetworkPlan:
    """Folds batch normalisation into convolutions, and dequantisation into quantisation.

    Batch normalisation after a convolution that nobody else reads:

        W' = W · γ / √(σ² + ε),    b' = (b - μ) · γ / √(σ² + ε) + β

    ReLU and max pooling change places, max(0, max x) = max max(0, x), so that ReLU sees fewer
    values, and ReLU overwrites what nobody else reads.
    """
    merged = _merged(plan)
    nodes = with_patterns(merged.nodes, merged.constants, _readers(merged), plan.result)
    return _overwriting(_pooled_first(_rebuilt(merged, nodes)))


def _readers(plan: NetworkPlan) -> Counter[str]:
    readers = Counter(name for node in plan.nodes for name in node.inputs)
    readers[plan.result] += 1
    return readers


def _merged(plan: NetworkPlan) -> NetworkPlan:
    readers = _readers(plan)
    constants, nodes, producer = dict(plan.constants), list[Node](), dict[str, int]()
    for node in plan.nodes:
        before = producer.get(node.inputs[0]) if node.inputs else None
        made = None
        if before is not None and readers[node.inputs[0]] == 1:
            made = _with_batch_norm(nodes[before], node, constants)
            made = made or _back_at_once(nodes[before], node)
        if made is None or before is None:
            nodes.append(node)
            place = len(nodes) - 1
        else:
            nodes[before], place = made, before
        producer.update({name: place for name in node.outputs if name})
    return _rebuilt(replace(plan, constants=constants), nodes)


def _rebuilt(plan: NetworkPlan, nodes: list[Node]) -> NetworkPlan:
    known = dict(zip(plan.nodes, plan.steps, strict=True))
    steps = [known[node] if node in known else build(node) for node in nodes]
    names = {name for node in nodes for name in node.inputs}
    constants = {name: value for name, value in plan.constants.items() if name in names}
    return replace(plan, nodes=tuple(nodes), steps=tuple(steps), constants=constants)


def _with_batch_norm(conv: Node, norm: Node, constants: dict[str, Tensor]) -> Node | None:
    names = [*conv.inputs[1:], *norm.inputs[1:]]
    if (conv.domain, conv.op, norm.domain, norm.op) != ("", "Conv", "", "BatchNormalization"):
        return None
    if not all(name in constants for name in names if name):
        return None
    weight = constants[conv.inputs[1]].double()
    gamma, beta, mean, variance = (constants[name].double() for name in norm.inputs[1:5])
    factor = gamma / (variance + norm.number("epsilon", 1e-5)).sqrt()
    has_bias = len(conv.inputs) > 2 and conv.inputs[2]
    bias = constants[conv.inputs[2]].double() if has_bias else torch.zeros_like(mean)
    new = tuple(f"{norm.outputs[0]}#{part}" for part in ("weight", "bias"))
    constants[new[0]] = (weight * factor.view(-1, *[1] * (weight.dim() - 1))).float()
    constants[new[1]] = ((bias - mean) * factor + beta).float()
    return replace(conv, inputs=(conv.inputs[0], *new), outputs=norm.outputs[:1])


def _back_at_once(there: Node, back: Node) -> Node | None:
    same = there.inputs[1:] == back.inputs[1:]
    axes = there.integer("axis", 1), back.integer("axis", 1)
    if (there.op, back.op) != ("QuantizeLinear", "DequantizeLinear") or not same:
        return None
    if axes[0] != axes[1]:
        return None
    return replace(there, domain=OWN_DOMAIN, op="QuantizeAndBack", outputs=back.outputs)


def _pooled_first(plan: NetworkPlan) -> NetworkPlan:
    readers, nodes = _readers(plan), list[Node]()
    place: dict[str, int] = {}
    for node in plan.nodes:
        before = place.get(node.inputs[0]) if node.inputs else None
        if before is not None and node.op == "MaxPool" and readers[node.inputs[0]] == 1:
            relu, between = nodes[before], f"{node.outputs[0]}#pooled"
            # The pool takes the place of ReLU, whose input is there already.
            nodes[before] = replace(node, inputs=relu.inputs, outputs=(between,))
            nodes.append(replace(relu, inputs=(between,), outputs=node.outputs[:1]))
        else:
            nodes.append(node)
        if nodes[-1].op == "Relu":
            place[nodes[-1].outputs[0]] = len(nodes) - 1
    return _rebuilt(plan, nodes)


def _overwriting(plan: NetworkPlan) -> NetworkPlan:
    readers = _readers(plan)
    makers = {name: node.op for node in plan.nodes if not node.domain for name in node.outputs}
    return _rebuilt(
        plan,
        [
            replace(node, domain=OWN_DOMAIN, op="ReluInPlace")
            if (node.domain, node.op) == ("", "Relu")
            and readers[node.inputs[0]] == 1
            and makers.get(node.inputs[0]) in _KEEP_NO_OUTPUT
            else node
            for node in plan.nodes
        ],
    )
