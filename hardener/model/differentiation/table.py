"""Which function builds which operator."""

from hardener.model.differentiation import (
    attention,
    convolution,
    elementwise,
    indexing,
    normalisation,
    pooling,
    products,
    quantisation,
    reductions,
    resizing,
    shapes,
)
from hardener.model.differentiation.nodes import Builder, Node, Step

OWN_DOMAIN = "hardener"
"""Of operators that only a plan can hold."""

_STANDARD: dict[str, Builder] = {
    **attention.STANDARD,
    **convolution.STANDARD,
    **elementwise.STANDARD,
    **indexing.STANDARD,
    **normalisation.STANDARD,
    **pooling.STANDARD,
    **products.STANDARD,
    **quantisation.STANDARD,
    **reductions.STANDARD,
    **resizing.STANDARD,
    **shapes.STANDARD,
}

OPERATORS: dict[tuple[str, str], Builder] = {
    **{("", op): builder for op, builder in _STANDARD.items()},
    **{
        ("com.microsoft", op): builder
        for family in (attention, elementwise, normalisation, products, quantisation)
        for op, builder in family.MICROSOFT.items()
    },
    **{
        (OWN_DOMAIN, op): builder
        for family in (elementwise, products, quantisation)
        for op, builder in family.OWN.items()
    },
}

HOST_INPUTS: dict[str, frozenset[int]] = {
    "Clip": frozenset({1, 2}),
    "Col2Im": frozenset({1, 2}),
    "ConstantOfShape": frozenset({0}),
    "CumSum": frozenset({1}),
    "Dropout": frozenset({1, 2}),
    "Expand": frozenset({1}),
    "OneHot": frozenset({1}),
    "Pad": frozenset({1, 2, 3}),
    "Range": frozenset({0, 1, 2}),
    "Reshape": frozenset({1}),
    "Resize": frozenset({1, 2, 3}),
    "Slice": frozenset({1, 2, 3, 4}),
    "Split": frozenset({1}),
    "Squeeze": frozenset({1}),
    "Tile": frozenset({1}),
    "TopK": frozenset({1}),
    "Trilu": frozenset({1}),
    "Unsqueeze": frozenset({1}),
    "Upsample": frozenset({1}),
}
"""Inputs that are read as numbers: they stay in the processor's memory."""


def build(node: Node) -> Step:
    """What a node computes.

    Raises:
        ModelError: the operator or one of its attributes is not supported.
    """
    domain = "" if node.domain == "ai.onnx" else node.domain
    builder = OPERATORS.get((domain, node.op))
    if builder is None:
        raise node.refusal("this operator is not supported")
    return builder(node)


def host_inputs(node: Node) -> frozenset[int]:
    """Which inputs are numbers that steer the node, like axes and shapes."""
    if node.op.startswith("Reduce"):
        return frozenset({1})
    return HOST_INPUTS.get(node.op, frozenset())
