"""Sums, means and extremes along axes."""

from collections.abc import Callable

import torch
from torch import Tensor

from hardener.model.differentiation.nodes import Builder, Node, Operator, Step, whole

_Reduction = Callable[[Tensor, tuple[int, ...], bool], Tensor]


def _reduce(function: _Reduction, axes_input_since: int) -> Builder:
    """An operator whose axes became an input with some opset."""

    def build(node: Node) -> Step:
        keep = bool(node.integer("keepdims", 1))
        nothing = bool(node.integer("noop_with_empty_axes", 0))
        fixed = None if node.opset >= axes_input_since else node.integers("axes")

        def step(x: Tensor, axes: Tensor | None = None) -> Tensor:
            given = fixed if axes is None else whole(axes)
            if not given and nothing:
                return x
            return function(x, tuple(given) if given else tuple(range(x.dim())), keep)

        return step

    return build


def _product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((axis % x.dim() for axis in axes), reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _arg(function: Callable[..., Tensor]) -> Builder:
    def build(node: Node) -> Step:
        axis, keep = node.integer("axis", 0), bool(node.integer("keepdims", 1))
        last = bool(node.integer("select_last_index", 0))

        def step(x: Tensor) -> Tensor:
            if last:
                return x.shape[axis] - 1 - function(x.flip(axis), axis, keep)
            return function(x, axis, keep)

        return step

    return build


def _cumulative_sum(node: Node) -> Step:
    exclusive, reverse = node.integer("exclusive", 0), node.integer("reverse", 0)

    def step(x: Tensor, axis: Tensor) -> Tensor:
        along = int(axis.item())
        y = x.flip(along) if reverse else x
        total = y.cumsum(along, dtype=y.dtype)
        if exclusive:
            total = total - y
        return total.flip(along) if reverse else total

    return step


_AXES_INPUT: dict[str, _Reduction] = {
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keep).log(),
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceProd": _product,
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep),
}

STANDARD: dict[str, Operator] = {
    **{name: Operator(_reduce(function, 18), (1,)) for name, function in _AXES_INPUT.items()},
    "ArgMax": Operator(_arg(torch.argmax)),
    "ArgMin": Operator(_arg(torch.argmin)),
    "CumSum": Operator(_cumulative_sum, (1,)),
    "ReduceSum": Operator(
        _reduce(lambda x, axes, keep: x.sum(axes, keep, dtype=x.dtype), 13), (1,)
    ),
}
