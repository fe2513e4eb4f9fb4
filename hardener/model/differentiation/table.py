"""Every operator: a new one is a line in the table of its family."""

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
from hardener.model.differentiation.nodes import Node, Operator, Step

OWN_DOMAIN = "hardener"
"""Of operators that only a plan can hold."""

_STANDARD: dict[str, Operator] = {
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

OPERATORS: dict[tuple[str, str], Operator] = {
    **{("", op): operator for op, operator in _STANDARD.items()},
    **{
        ("com.microsoft", op): operator
        for family in (attention, elementwise, normalisation, products, quantisation)
        for op, operator in family.MICROSOFT.items()
    },
    **{
        (OWN_DOMAIN, op): operator
        for family in (elementwise, products, quantisation)
        for op, operator in family.OWN.items()
    },
}


def build(node: Node) -> Step:
    """What a node computes.

    Raises:
        ModelError: the operator or one of its attributes is not supported.
    """
    operator = _operator(node)
    if operator is None:
        raise node.refusal("this operator is not supported")
    return operator.build(node)


def host_inputs(node: Node) -> tuple[int, ...]:
    """Places of the inputs that are numbers."""
    operator = _operator(node)
    return operator.numbers if operator else ()


def _operator(node: Node) -> Operator | None:
    return OPERATORS.get(("" if node.domain == "ai.onnx" else node.domain, node.op))
