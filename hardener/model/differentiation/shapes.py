"""Operators that make, reshape, reorder and convert tensors."""

import math
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from torch import Tensor

from hardener.arrays import AnyArray
from hardener.model.differentiation.nodes import Node, Operator, Step, plain, whole

_TYPES: dict[int, torch.dtype] = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float32,
    onnx.TensorProto.BFLOAT16: torch.float32,
    onnx.TensorProto.DOUBLE: torch.float32,
    onnx.TensorProto.BOOL: torch.bool,
    onnx.TensorProto.INT8: torch.int8,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.UINT16: torch.int32,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.UINT32: torch.int64,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.UINT64: torch.int64,
}


_LARGEST = 1 << 28
"""Values that one node may make out of a shape: one gigabyte."""


def to_torch(values: AnyArray) -> Tensor:
    """A constant of a graph; real numbers become float32, whole ones keep their type."""
    if values.dtype.kind in "biu" and values.dtype.isbuiltin:
        return torch.from_numpy(np.array(values))
    if values.dtype.name in ("int4", "uint4"):
        return torch.from_numpy(values.astype(np.int8 if values.dtype.name == "int4" else np.uint8))
    return torch.from_numpy(values.astype(np.float32))


def _constant(node: Node) -> Step:
    found = {"value", "value_float", "value_floats", "value_int", "value_ints"} & set(
        node.attributes
    )
    if not found:
        raise node.refusal("only constants of numbers are supported")
    name = found.pop()
    attribute = node.attributes[name]
    if name == "value":
        made = to_torch(onnx.numpy_helper.to_array(attribute.t))
    else:
        given = onnx.helper.get_attribute_value(attribute)
        made = torch.tensor(given, dtype=torch.float32 if "float" in name else torch.int64)
    return lambda: made


def _constant_of_shape(node: Node) -> Step:
    value = torch.zeros(1)
    if node.has("value"):
        value = to_torch(onnx.numpy_helper.to_array(node.attributes["value"].t))
    fill = value.flatten()[0].item()

    def step(shape: Tensor) -> Tensor:
        sizes = whole(shape) or []
        if math.prod(sizes) > _LARGEST:
            raise node.refusal(f"its shape {sizes} is too large")
        return torch.full(sizes, fill, dtype=value.dtype)

    return step


def _cast(node: Node) -> Step:
    kind = node.integer("to", onnx.TensorProto.FLOAT)
    if kind not in _TYPES:
        raise node.refusal(f"type {kind} is not supported")
    dtype = _TYPES[kind]
    return lambda x: x != 0 if dtype == torch.bool else x.to(dtype)


def _dropout(node: Node) -> Step:
    node.only_first_output()

    def step(x: Tensor, _: Tensor | None = None, training: Tensor | None = None) -> Tensor:
        if training is not None and bool(training.item()):
            raise node.refusal("it drops values at random in this model")
        return x

    return step


def _shape(node: Node) -> Step:
    start = node.integer("start", 0)
    end = node.integer("end", 0) if node.has("end") else None
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64)


def _reshape(node: Node) -> Step:
    literal = bool(node.integer("allowzero", 0))

    def step(x: Tensor, shape: Tensor) -> Tensor:
        wanted = shape.tolist()
        if not literal and 0 in wanted:
            wanted = [x.shape[i] if size == 0 else size for i, size in enumerate(wanted)]
        return x.reshape(wanted)

    return step


def _flatten(node: Node) -> Step:
    axis = node.integer("axis", 1)

    def step(x: Tensor) -> Tensor:
        rows = 1
        for size in x.shape[:axis]:
            rows *= size
        return x.reshape(rows, -1 if x.numel() else 0)

    return step


def _squeeze(node: Node) -> Step:
    fixed = node.integers("axes")

    def step(x: Tensor, axes: Tensor | None = None) -> Tensor:
        given = fixed if axes is None else whole(axes)
        return x.squeeze() if given is None else x.squeeze(tuple(given))

    return step


def _unsqueeze(node: Node) -> Step:
    fixed = node.integers("axes")

    def step(x: Tensor, axes: Tensor | None = None) -> Tensor:
        given = (fixed if axes is None else whole(axes)) or []
        rank = x.dim() + len(given)
        for axis in sorted(axis % rank for axis in given):
            x = x.unsqueeze(axis)
        return x

    return step


def _transpose(node: Node) -> Step:
    order = node.integers("perm")
    return lambda x: x.permute(order if order is not None else list(range(x.dim()))[::-1])


def _concat(node: Node) -> Step:
    axis = node.integer("axis", 1)
    return lambda *inputs: torch.cat(inputs, axis)


def _split(node: Node) -> Step:
    axis, parts = node.integer("axis", 0), len(node.outputs)
    fixed = node.integers("split")

    def step(x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
        given = fixed if sizes is None else whole(sizes)
        return torch.split(x, given or -(-x.shape[axis] // parts), axis)

    return step


def _broadcast(a: Sequence[int], b: Sequence[int]) -> list[int]:
    rank = max(len(a), len(b))
    padded = ([1] * (rank - len(s)) + list(s) for s in (a, b))
    return [y if x == 1 else x for x, y in zip(*padded, strict=True)]


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(_broadcast(x.shape, shape.tolist()))


def _tile(node: Node) -> Step:
    def step(x: Tensor, repeats: Tensor) -> Tensor:
        times = repeats.tolist()
        if math.prod(times) * x.numel() > _LARGEST:
            raise node.refusal(f"{times} repeats are too many")
        return x.repeat(times)

    return step


def _range(node: Node) -> Step:
    def step(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
        first, last, by = start.item(), limit.item(), delta.item()
        if by and abs((last - first) / by) > _LARGEST:
            raise node.refusal("its range is too long")
        return torch.arange(first, last, by, dtype=start.dtype)

    return step


def _depth_to_space(node: Node) -> Step:
    block = node.integer("blocksize", 1)
    crd = node.one_of("mode", "DCR", ("DCR", "CRD")) == "CRD"

    def step(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        less = c // block**2
        if crd:
            y = x.reshape(n, less, block, block, h, w).permute(0, 1, 4, 2, 5, 3)
        else:
            y = x.reshape(n, block, block, less, h, w).permute(0, 3, 4, 1, 5, 2)
        return y.reshape(n, less, h * block, w * block)

    return step


def _space_to_depth(node: Node) -> Step:
    block = node.integer("blocksize", 1)

    def step(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        y = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return y.reshape(n, c * block**2, h // block, w // block)

    return step


def _triangle(node: Node) -> Step:
    cut = torch.triu if node.integer("upper", 1) else torch.tril
    return lambda x, k=None: cut(x, 0 if k is None else int(k.item()))


def _eye_like(node: Node) -> Step:
    k, kind = node.integer("k", 0), node.integer("dtype", 0)

    def step(x: Tensor) -> Tensor:
        ones = torch.ones(x.shape, dtype=_TYPES.get(kind, x.dtype), device=x.device)
        return ones.triu(k).tril(k)

    return step


STANDARD: dict[str, Operator] = {
    "Cast": Operator(_cast),
    "CastLike": plain(lambda x, like: x.to(like.dtype)),
    "Concat": Operator(_concat),
    "Constant": Operator(_constant),
    "ConstantOfShape": Operator(_constant_of_shape, (0,)),
    "DepthToSpace": Operator(_depth_to_space),
    "Dropout": Operator(_dropout, (1, 2)),
    "Expand": plain(_expand, 1),
    "EyeLike": Operator(_eye_like),
    "Flatten": Operator(_flatten),
    "Identity": plain(lambda x: x),
    "Range": Operator(_range, (0, 1, 2)),
    "Reshape": Operator(_reshape, (1,)),
    "Shape": Operator(_shape),
    "Size": plain(lambda x: torch.tensor(x.numel())),
    "SpaceToDepth": Operator(_space_to_depth),
    "Split": Operator(_split, (1,)),
    "Squeeze": Operator(_squeeze, (1,)),
    "Tile": Operator(_tile, (1,)),
    "Transpose": Operator(_transpose),
    "Trilu": Operator(_triangle, (1,)),
    "Unsqueeze": Operator(_unsqueeze, (1,)),
}
