"""Operators that pick values by their position, or put them there."""

import torch
from torch import Tensor, nn

from hardener.model.differentiation.nodes import Node, Operator, Step, plain, whole


def _not_negative(indices: Tensor, size: int) -> Tensor:
    indices = indices.to(torch.int64)
    return torch.where(indices < 0, indices + size, indices)


def _gather(node: Node) -> Step:
    axis = node.integer("axis", 0)

    def step(x: Tensor, indices: Tensor) -> Tensor:
        if indices.dim() == 0 and indices.device.type == "cpu":
            return x.select(axis, int(indices.item()))
        along = axis % x.dim()
        flat = _not_negative(indices.flatten(), x.shape[along])
        picked = x.index_select(along, flat)
        return picked.reshape(*x.shape[:along], *indices.shape, *x.shape[along + 1 :])

    return step


def _gather_elements(node: Node) -> Step:
    axis = node.integer("axis", 0)
    return lambda x, indices: x.gather(axis, _not_negative(indices, x.shape[axis]))


def _gather_nd(node: Node) -> Step:
    shared = node.integer("batch_dims", 0)

    def step(x: Tensor, indices: Tensor) -> Tensor:
        batch, rest = x.shape[:shared], x.shape[shared:]
        depth = indices.shape[-1]
        flat_x = x.reshape(-1, *rest)
        flat = indices.reshape(len(flat_x), -1, depth)
        rows = torch.arange(len(flat_x), device=x.device)[:, None].expand(flat.shape[:2])
        places = [_not_negative(flat[..., i], rest[i]) for i in range(depth)]
        return flat_x[(rows, *places)].reshape(*batch, *indices.shape[shared:-1], *rest[depth:])

    return step


def _scatter_nd(node: Node) -> Step:
    add = node.one_of("reduction", "none", ("none", "add")) == "add"

    def step(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        depth = indices.shape[-1]
        places = tuple(_not_negative(indices[..., i], x.shape[i]) for i in range(depth))
        return x.index_put(places, updates.to(x.dtype), accumulate=add)

    return step


def _scatter_elements(node: Node) -> Step:
    axis = node.integer("axis", 0)
    add = node.one_of("reduction", "none", ("none", "add")) == "add"

    def step(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        places, values = _not_negative(indices, x.shape[axis]), updates.to(x.dtype)
        return x.scatter_add(axis, places, values) if add else x.scatter(axis, places, values)

    return step


def _cut(x: Tensor, axis: int, start: int, end: int, stride: int) -> Tensor:
    first, last, stride = slice(start, end, stride).indices(x.shape[axis])
    if stride > 0:
        return x[(slice(None),) * (axis % x.dim()) + (slice(first, max(last, first), stride),)]
    return x.index_select(axis, torch.arange(first, last, stride, device=x.device))


def _slice(node: Node) -> Step:
    if node.opset < 10:
        begins, stops = node.integers("starts") or [], node.integers("ends") or []
        along = node.integers("axes")

        def fixed(x: Tensor) -> Tensor:
            for start, end, axis in zip(begins, stops, along or range(len(begins)), strict=True):
                x = _cut(x, axis, start, end, 1)
            return x

        return fixed

    def step(
        x: Tensor,
        starts: Tensor,
        ends: Tensor,
        axes: Tensor | None = None,
        steps: Tensor | None = None,
    ) -> Tensor:
        begins, stops = starts.tolist(), ends.tolist()
        along = whole(axes) or list(range(len(begins)))
        strides = whole(steps) or [1] * len(begins)
        for start, end, axis, stride in zip(begins, stops, along, strides, strict=True):
            x = _cut(x, axis, start, end, stride)
        return x

    return step


def _top_k(node: Node) -> Step:
    axis, fixed = node.integer("axis", -1), node.integer("k", 1)
    largest, ordered = bool(node.integer("largest", 1)), bool(node.integer("sorted", 1))

    def step(x: Tensor, k: Tensor | None = None) -> tuple[Tensor, ...]:
        count = fixed if k is None else int(k.item())
        values, indices = torch.topk(x, count, axis, largest, ordered)
        return values, indices

    return step


def _one_hot(node: Node) -> Step:
    axis = node.integer("axis", -1)

    def step(indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
        count = int(depth.item())
        hot = nn.functional.one_hot(torch.remainder(indices.to(torch.int64), count), count)
        inside = ((indices >= -count) & (indices < count)).unsqueeze(-1)
        chosen = torch.where(hot.bool() & inside, values[1], values[0])
        return chosen.movedim(-1, axis)

    return step


def _non_zero(x: Tensor) -> Tensor:
    return torch.nonzero(x).t()


STANDARD: dict[str, Operator] = {
    "Gather": Operator(_gather),
    "GatherElements": Operator(_gather_elements),
    "GatherND": Operator(_gather_nd),
    "NonZero": plain(_non_zero),
    "OneHot": Operator(_one_hot, (1,)),
    "ScatterElements": Operator(_scatter_elements),
    "ScatterND": Operator(_scatter_nd),
    "Slice": Operator(_slice, (1, 2, 3, 4)),
    "TopK": Operator(_top_k, (1,)),
}
