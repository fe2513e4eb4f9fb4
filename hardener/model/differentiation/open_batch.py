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

_LARGEST_OPENED = 16
"""Images of a batch. Larger ones are as quick as an open one."""

_CLOSE = 1e-3
"""As a fraction of each class's largest logit: rounding depends on how many images there are."""

_PASS_NAN_ON = frozenset({
    "Abs", "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv",
    "ConvTranspose", "DepthToSpace", "Div", "Dropout", "Elu", "Erf", "Exp", "Flatten", "Gelu",
    "Gemm", "GlobalAveragePool", "GlobalMaxPool", "GroupNormalization", "HardSigmoid",
    "HardSwish", "Identity", "InstanceNormalization", "LayerNormalization", "LeakyRelu",
    "LogSoftmax", "MatMul", "Max", "MaxPool", "Mean", "Min", "Mish", "Mul", "Neg", "PRelu",
    "Reciprocal", "ReduceMax", "ReduceMean", "ReduceSum", "Relu", "Reshape", "Selu",
    "Sigmoid", "Slice", "Softmax", "Softplus", "Split", "Sqrt", "Squeeze", "Sub", "Sum",
    "Swish", "Tanh", "Transpose", "Unsqueeze",
})  # fmt: skip
"""Operators that give NaN wherever what they read for it holds NaN, whatever the values."""


def with_open_batch(plan: NetworkPlan, image: Sequence[int], *, channels_last: bool) -> NetworkPlan:
    """The same network for any number of images, where that gives the same logits; else the plan.

    That no image has a say in what is given of another is shown for all values, not for a sample:
    an image of NaN must leave the others' logits as they are, through operators that all pass NaN
    on. A graph that has others stays as it is: it might answer to company, or to its absence.

    Args:
        plan: of a graph of fixed batch.
        image: (C, H, W).
        channels_last: whether the graph takes images as (N, H, W, C).
    """
    batch = plan.batch
    if batch is None or batch > _LARGEST_OPENED:
        return plan
    if any(node.domain or node.op not in _PASS_NAN_ON for node in plan.nodes):
        return plan
    opened = _with_open_sizes(plan, batch)
    networks = (GraphNetwork(one, channels_last).eval() for one in (plan, opened))
    noise = torch.randn((batch + 1, *image), generator=torch.Generator().manual_seed(0))
    try:
        with torch.no_grad():
            came, network = networks
            expected = came(noise)
            same = _same(network(noise), expected) and _apart(network, noise, expected)
    except ModelError:  # also of images of another size than the graph leaves open
        return plan
    return opened if same else plan


def _same(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    return bool(((found - expected).abs() <= _CLOSE * expected.abs().amax(0)).all())


def _apart(network: GraphNetwork, images: Tensor, logits: Tensor) -> bool:
    """Whether each image that is no number leaves the logits of all others as they are."""
    for position in range(len(images)):
        marked = images.clone()
        marked[position] = torch.nan
        others = torch.arange(len(images)) != position
        if not _same(network(marked)[others], logits[others]):
            return False
    return True


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
