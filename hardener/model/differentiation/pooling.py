"""Pooling over windows and over whole images."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from hardener.model.differentiation.nodes import Node, Operator, Step, plain
from hardener.model.differentiation.windows import Window, pad_sides, read_window

_MAX = {1: nn.functional.max_pool1d, 2: nn.functional.max_pool2d, 3: nn.functional.max_pool3d}
_CONV = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}


def _window(node: Node) -> Window:
    kernel = node.integers("kernel_shape") or []
    if len(kernel) not in _MAX:
        raise node.refusal(f"windows of {len(kernel)} axes are not supported")
    return read_window(node, kernel)


def _fits_torch(window: Window, before: Sequence[int], after: Sequence[int]) -> bool:
    """Torch pads both sides alike, by no more than half of the kernel."""
    halves = (2 * side <= size for side, size in zip(before, window.kernel, strict=True))
    return list(before) == list(after) and all(halves)


def _padded(x: Tensor, window: Window, value: float) -> Tensor:
    sizes = x.shape[2:]
    before, after = window.padding(sizes)
    after = [side + more for side, more in zip(after, window.overhang(sizes), strict=True)]
    return pad_sides(x, before, after, value) if any(before) or any(after) else x


def _max_pool(node: Node) -> Step:
    node.only_first_output()
    window = _window(node)
    pool = _MAX[len(window.kernel)]

    def step(x: Tensor) -> Tensor:
        before, after = window.padding(x.shape[2:])
        if any(window.overhang(x.shape[2:])) or not _fits_torch(window, before, after):
            # Quantised tensors are held as floats, so the lowest value is fit for all.
            x, before = _padded(x, window, -torch.inf), [0] * len(before)
        return pool(x, window.kernel, window.strides, before, window.dilations)

    return step


def _sums(x: Tensor, window: Window) -> Tensor:
    """Sum under each window of an already padded tensor."""
    channels, rank = x.shape[1], len(window.kernel)
    ones = torch.ones((channels, 1, *window.kernel), dtype=x.dtype, device=x.device)
    return _CONV[rank](x, ones, None, window.strides, 0, window.dilations, channels)


def _average_pool(node: Node) -> Step:
    window = _window(node)
    include = bool(node.integer("count_include_pad", 0))
    if len(window.kernel) == 2 and set(window.dilations) == {1}:
        quick: Callable[..., Tensor] | None = nn.functional.avg_pool2d
    else:
        quick = None

    def step(x: Tensor) -> Tensor:
        sizes = x.shape[2:]
        before, after = window.padding(sizes)
        if (
            quick is not None
            and not any(window.overhang(sizes))
            and _fits_torch(window, before, after)
        ):
            return quick(x, window.kernel, window.strides, before, False, include)
        ones = torch.ones((1, 1, *sizes), dtype=x.dtype, device=x.device)
        if include:
            ones = pad_sides(ones, before, after, 1.0)
            more = window.overhang(sizes)
            ones = pad_sides(ones, [0] * len(more), more, 0.0)
        else:
            ones = _padded(ones, window, 0.0)
        return _sums(_padded(x, window, 0.0), window) / _sums(ones, window)

    return step


def _lp_pool(node: Node) -> Step:
    window, power = _window(node), node.integer("p", 2)

    def step(x: Tensor) -> Tensor:
        return _sums(_padded(x.abs().pow(power), window, 0.0), window).pow(1 / power)

    return step


def _global_average(x: Tensor) -> Tensor:
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def _global_max(x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.dim())), keepdim=True)


def _global_lp(node: Node) -> Step:
    power = node.integer("p", 2)

    def step(x: Tensor) -> Tensor:
        axes = tuple(range(2, x.dim()))
        return x.abs().pow(power).sum(axes, keepdim=True).pow(1 / power)

    return step


STANDARD: dict[str, Operator] = {
    "AveragePool": Operator(_average_pool),
    "GlobalAveragePool": plain(_global_average),
    "GlobalLpPool": Operator(_global_lp),
    "GlobalMaxPool": plain(_global_max),
    "LpPool": Operator(_lp_pool),
    "MaxPool": Operator(_max_pool),
}
