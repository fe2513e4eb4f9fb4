"""Padding, and resampling to another size."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.model.differentiation.nodes import Node, Operator, Step, whole

_COORDINATES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
)
_NEAREST: dict[str, Callable[[FloatArray], FloatArray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def _pad(node: Node) -> Step:
    mode = node.one_of("mode", "constant", ("constant", "reflect", "edge", "wrap"))
    fixed, fixed_value = node.integers("pads"), node.number("value", 0.0)

    def step(
        x: Tensor,
        pads: Tensor | None = None,
        value: Tensor | None = None,
        axes: Tensor | None = None,
    ) -> Tensor:
        given = (fixed if pads is None else whole(pads)) or []
        along = [axis % x.dim() for axis in whole(axes) or range(x.dim())]
        before = dict(zip(along, given[: len(along)], strict=True))
        after = dict(zip(along, given[len(along) :], strict=True))
        if mode == "constant":
            fill = fixed_value if value is None else value.item()
            sides = [
                side
                for axis in reversed(range(x.dim()))
                for side in (before.get(axis, 0), after.get(axis, 0))
            ]
            return nn.functional.pad(x, sides, value=fill)
        for axis in along:
            if before[axis] or after[axis]:
                places = _mirrored(mode, x.shape[axis], before[axis], after[axis])
                x = x.index_select(axis, places.to(x.device))
        return x

    return step


def _mirrored(mode: str, size: int, before: int, after: int) -> Tensor:
    """Which value of an axis stands at each place of the padded one."""
    places = torch.arange(-before, size + after)
    if mode == "edge":
        return places.clamp(0, size - 1)
    if mode == "wrap":
        return places.remainder(size)
    turn = max(1, 2 * (size - 1))
    folded = places.remainder(turn)
    return torch.where(folded >= size, turn - folded, folded)


def _sources(coordinates: str, size: int, target: int, scale: float) -> FloatArray:
    """Where in the old axis each place of the new one lies."""
    x = np.arange(target, dtype=np.float64)
    if coordinates == "align_corners":
        found = x * (size - 1) / (target - 1) if target > 1 else x * 0
    elif coordinates == "asymmetric":
        found = x / scale
    elif coordinates == "pytorch_half_pixel" and target == 1:
        found = x * 0
    elif coordinates == "half_pixel_symmetric":
        adjusted = target / (scale * size)
        found = size / 2 * (1 - adjusted) + (x + 0.5) / scale - 0.5
    else:
        found = (x + 0.5) / scale - 0.5
    return found.astype(np.float64)


def _cubic(distance: FloatArray, a: float) -> FloatArray:
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _weights(node: Node, mode: str, sources: FloatArray, size: int, scale: float) -> FloatArray:
    """(new, old) matrix that interpolates along one axis."""
    shrink = min(1.0, scale) if node.integer("antialias", 0) else 1.0
    reach = (1 if mode == "linear" else 2) / shrink
    low = np.floor(sources - reach).astype(int)
    offsets = np.arange(math.ceil(2 * reach) + 2)
    places = low[:, None] + offsets
    distance = (places - sources[:, None]) * shrink
    if mode == "linear":
        weights = np.clip(1 - np.abs(distance), 0, None)
    else:
        weights = _cubic(distance, node.number("cubic_coeff_a", -0.75))
    outside = (places < 0) | (places >= size)
    if node.integer("exclude_outside", 0):
        weights = np.where(outside, 0, weights)
    weights = weights / weights.sum(1, keepdims=True)
    matrix = np.zeros((len(sources), size))
    rows = np.arange(len(sources))[:, None].repeat(places.shape[1], 1)
    np.add.at(matrix, (rows, np.clip(places, 0, size - 1)), weights)
    return matrix.astype(np.float32)


def _resize(node: Node) -> Step:
    old = node.opset < 11
    mode = node.one_of("mode", "nearest", ("nearest", "linear", "cubic"))
    coordinates = node.one_of(
        "coordinate_transformation_mode", "asymmetric" if old else "half_pixel", _COORDINATES
    )
    rounding = node.one_of("nearest_mode", "floor" if old else "round_prefer_floor", [*_NEAREST])
    node.one_of("keep_aspect_ratio_policy", "stretch", ("stretch",))
    chosen, attribute_scales = node.integers("axes"), node.numbers("scales")

    def step(x: Tensor, *inputs: Tensor | None) -> Tensor:
        scales, sizes = _targets(x, [None, *inputs] if old else list(inputs), attribute_scales)
        axes = list(range(x.dim())) if chosen is None else [axis % x.dim() for axis in chosen]
        for i, axis in enumerate(axes):
            size = x.shape[axis]
            target = sizes[i] if sizes else math.floor(size * scales[i])
            scale = target / size if sizes else scales[i]
            if target == size and scale == 1:
                continue
            where = _sources(coordinates, size, target, scale)
            if mode == "nearest":
                # Onto the number that exact arithmetic would give, before it is rounded.
                near = _NEAREST[rounding](where.round(6)).clip(0, size - 1)
                x = x.index_select(axis, torch.from_numpy(near.astype(np.int64)).to(x.device))
            else:
                matrix = torch.from_numpy(_weights(node, mode, where, size, scale))
                x = (x.movedim(axis, -1) @ matrix.t().to(x)).movedim(-1, axis)
        return x

    return step


def _targets(
    x: Tensor, inputs: Sequence[Tensor | None], attribute: list[float] | None
) -> tuple[list[float], list[int]]:
    """Scales, or sizes where those are given; inputs are region, scales, sizes."""
    padded = [*inputs, None, None, None]
    if padded[2] is not None and padded[2].numel():
        return [], whole(padded[2]) or []
    if padded[1] is not None and padded[1].numel():
        return [float(scale) for scale in padded[1].tolist()], []
    return attribute or [1.0] * x.dim(), []


def _grid_sample(node: Node) -> Step:
    names = {"linear": "bilinear", "bilinear": "bilinear", "nearest": "nearest"}
    names |= {"cubic": "bicubic", "bicubic": "bicubic"}
    mode = names[node.one_of("mode", "bilinear", [*names])]
    padding = node.one_of("padding_mode", "zeros", ("zeros", "border", "reflection"))
    corners = bool(node.integer("align_corners", 0))
    return lambda x, grid: nn.functional.grid_sample(x, grid, mode, padding, corners)


STANDARD: dict[str, Operator] = {
    "GridSample": Operator(_grid_sample),
    "Pad": Operator(_pad, (1, 2, 3)),
    "Resize": Operator(_resize, (1, 2, 3)),
    "Upsample": Operator(_resize, (1,)),
}
