"""Plans for any number of images, of graphs that fix it.

Exporters that fix the batch write it into the sizes of reshapes, and most nowhere else. With those
sizes open a search runs all of its images at once instead of one by one.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hardener.errors import ModelError
from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.differentiation.nodes import Node

_CLOSE = 1e-3
"""As a fraction of the largest logit: rounding depends on how many images are computed at once."""


def with_open_batch(plan: NetworkPlan, image: Sequence[int], *, channels_last: bool) -> NetworkPlan:
    """The same network for any number of images, where that gives the same logits; else the plan.

    A graph that reads how many images come stays as it is: it might answer to that number.

    Args:
        plan: of a graph of fixed batch.
        image: (C, H, W).
        channels_last: whether the graph takes images as (N, H, W, C).
    """
    if plan.batch is None or any(node.op in ("Shape", "Size") for node in plan.nodes):
        return plan
    opened = _with_open_sizes(plan, plan.batch)
    count = 2 * plan.batch + 1
    noise = torch.randn((count, *image), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = GraphNetwork(plan, channels_last).eval()(noise)
        try:
            found = GraphNetwork(opened, channels_last).eval()(noise)
        except ModelError:
            return plan
    allowed = _CLOSE * float(expected.abs().max())
    same = found.shape == expected.shape and torch.allclose(found, expected, 0.0, allowed)
    return opened if same else plan


def _with_open_sizes(plan: NetworkPlan, batch: int) -> NetworkPlan:
    sizes, nodes = dict[str, Tensor](), list[Node]()
    for node in plan.nodes:
        fixed = plan.constants.get(node.inputs[1]) if node.op == "Reshape" else None
        if fixed is None or fixed.dim() != 1 or not len(fixed) or fixed[0] != batch:
            nodes.append(node)
            continue
        # A size that is left open stands beside no other: 0 takes what comes in its place.
        name = f"{node.inputs[1]}/open"
        first = 0 if (fixed < 0).any() else -1
        sizes[name] = torch.cat([fixed.new_tensor([first]), fixed[1:]])
        nodes.append(replace(node, inputs=(node.inputs[0], name, *node.inputs[2:])))
    return replace(plan.with_constants(sizes), nodes=tuple(nodes), batch=None)
