"""A plan with a tap on one of its tensors."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor

from hardener.errors import ModelError
from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.nodes import Node
from hardener.model.differentiation.table import OWN_DOMAIN


def tapped(plan: NetworkPlan, name: str, tap: Callable[[Tensor], Tensor]) -> NetworkPlan:
    """Leads one tensor through a function on its way to everything that reads it.

    Args:
        plan: as `read_plan` gives it. What is fused later leaves the tensor as it is.
        name: of the tensor.
        tap: takes it and gives one of the same shape.

    Raises:
        ModelError: no node makes the tensor.
    """
    made = next((i for i, node in enumerate(plan.nodes) if name in node.outputs), None)
    if made is None:
        raise ModelError(f"tensor {name!r} is made by no node of its own: it has no gradient here")
    through = f"{name}#tapped"

    def renamed(node: Node) -> Node:
        inputs = tuple(through if one == name else one for one in node.inputs)
        return node if inputs == node.inputs else replace(node, inputs=inputs)

    node = Node(f"tap of {name}", OWN_DOMAIN, "Tap", 1, (name,), (through,), {})
    return replace(
        plan,
        nodes=(*plan.nodes[: made + 1], node, *map(renamed, plan.nodes[made + 1 :])),
        steps=(*plan.steps[: made + 1], tap, *plan.steps[made + 1 :]),
        result=through if plan.result == name else plan.result,
    )
