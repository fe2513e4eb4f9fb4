"""Sliding windows: how `auto_pad`, `pads` and `ceil_mode` become paddings."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from hardener.model.differentiation.nodes import Node


@dataclass(frozen=True)
class Window:
    """A kernel that slides over the axes after the second.

    Attributes:
        kernel: size an axis.
        strides: likewise.
        dilations: likewise.
        auto_pad: NOTSET, VALID, SAME_UPPER or SAME_LOWER.
        pads: begin of every axis, then end of every axis.
        ceil: whether a last window may reach beyond the padding.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    auto_pad: str
    pads: tuple[int, ...]
    ceil: bool

    def reach(self, axis: int) -> int:
        """From the first to past the last value under the kernel."""
        return self.dilations[axis] * (self.kernel[axis] - 1) + 1

    def padding(self, sizes: Sequence[int]) -> tuple[list[int], list[int]]:
        """Padding before and after each axis of the given sizes."""
        rank = len(self.kernel)
        if self.auto_pad == "VALID":
            return [0] * rank, [0] * rank
        if self.auto_pad == "NOTSET":
            return list(self.pads[:rank]), list(self.pads[rank:])
        before, after = [], []
        for axis, size in enumerate(sizes):
            windows = -(-size // self.strides[axis])
            missing = max(0, (windows - 1) * self.strides[axis] + self.reach(axis) - size)
            small = missing // 2
            before.append(small if self.auto_pad == "SAME_UPPER" else missing - small)
            after.append(missing - before[-1])
        return before, after

    def overhang(self, sizes: Sequence[int]) -> list[int]:
        """How far the last window of each padded axis reaches beyond it, where `ceil` allows."""
        before, after = self.padding(sizes)
        found = []
        for axis, size in enumerate(sizes):
            padded, stride = size + before[axis] + after[axis], self.strides[axis]
            steps = -(-(padded - self.reach(axis)) // stride)
            if steps * stride >= size + before[axis]:
                steps -= 1  # a window that would start in the padding behind is left out
            found.append(max(0, steps * stride + self.reach(axis) - padded) if self.ceil else 0)
        return found


def read_window(node: Node, kernel: Sequence[int]) -> Window:
    """Reads what Conv and the pooling operators have in common."""
    rank = len(kernel)
    auto_pad = node.one_of(
        "auto_pad", "NOTSET", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "")
    )
    return Window(
        kernel=tuple(kernel),
        strides=tuple(node.integers("strides") or [1] * rank),
        dilations=tuple(node.integers("dilations") or [1] * rank),
        auto_pad=auto_pad or "NOTSET",
        pads=tuple(node.integers("pads") or [0] * 2 * rank),
        ceil=bool(node.integer("ceil_mode", 0)),
    )


def with_kernel(window: Window, kernel: Sequence[int]) -> Window:
    """The same window over another kernel."""
    return replace(window, kernel=tuple(kernel))


def pad_sides(x: Tensor, before: Sequence[int], after: Sequence[int], value: float) -> Tensor:
    """Pads the axes after the second with a constant."""
    sides = [side for pair in zip(before, after, strict=True) for side in pair]
    # torch names the last axis first.
    pairs = [sides[i : i + 2] for i in range(0, len(sides), 2)][::-1]
    return nn.functional.pad(x, [side for pair in pairs for side in pair], value=value)
