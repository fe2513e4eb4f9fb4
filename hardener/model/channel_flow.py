"""Where the channels of a tensor go: which elements of what is made of it they decide.

Every element of a tensor behind the feature layer is marked with the one channel that it depends
on. A mark *vanishes* where the element is zero whenever its channel is (as behind a ReLU) and does
not where it is not (as behind a sigmoid); a product with a vanishing factor vanishes. Layers with
weights end the flow: zeroing the columns that read a vanishing channel has the effect of zeroing
the channel itself.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from hardener.arrays import BoolArray, IntArray
from hardener.model.operators import (
    MOVES,
    POOLS,
    REDUCTIONS,
    SIZES,
    WEIGHTED,
    ZERO_TO_ZERO,
    operator,
    said,
)
from hardener.model.weights import constant_of

NO_CHANNEL = -1
_MOST_FOLLOWED = 1 << 27
SUMS = {"Add": (0, 1), "Sub": (0, 1), "Sum": None, "com.microsoft::QLinearAdd": (0, 3)}
PRODUCTS = {"Mul": (0, 1), "com.microsoft::QLinearMul": (0, 3)}
ELEMENTWISE = frozenset(
    {
        "BatchNormalization", "Clip", "Exp", "HardSigmoid", "Log", "Not", "Pow", "Reciprocal",
        "Sigmoid", "Softplus", "com.microsoft::QLinearSigmoid",
    }
)  # fmt: skip

Shapes = Mapping[str, tuple[int, ...]]


class CannotFollowError(Exception):
    """A node mixes channels or does something that is not known."""


@dataclass(frozen=True, eq=False)
class Marks:
    """What the elements of one tensor depend on.

    Attributes:
        channel: the tensor's shape; a channel of the feature layer or NO_CHANNEL.
        spoilt_by: None where every marked element vanishes with its channel, else the node
            behind which it no longer does.
    """

    channel: IntArray
    spoilt_by: str | None = None


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer whose columns read channels.

    Attributes:
        node: the layer.
        position: of its weight.
        columns: given the shape of its weight and which channels are pruned, which weights
            read them.
    """

    node: gs.Node
    position: int
    columns: Callable[[tuple[int, ...], BoolArray], BoolArray]


def readers_of(graph: gs.Graph, feature: gs.Variable, axis: int, shapes: Shapes) -> list[Reader]:
    """Finds all layers with weights that the feature layer's channels reach.

    Args:
        graph: the model.
        feature: the tensor to follow.
        axis: which of its axes holds the channels.
        shapes: of every tensor, as observed in one run.

    Raises:
        CannotFollowError: the channels reach the output or a node in the way cannot be followed;
            the message names it.
    """
    shape = shapes[feature.name]
    start = np.arange(shape[axis], dtype=np.int64).reshape(
        [-1 if position == axis else 1 for position in range(len(shape))]
    )
    marks = {feature.name: Marks(np.broadcast_to(start, shape))}
    found: list[Reader] = []
    followed = 0
    for node in graph.nodes:
        marked = [v for v in node.inputs if v.name in marks]
        if not marked or operator(node) in SIZES:
            continue
        if operator(node) in WEIGHTED:
            found.append(_reader(node, marks))
            continue
        followed += sum(math.prod(shapes.get(value.name, ())) for value in node.outputs)
        if followed > _MOST_FOLLOWED:
            raise CannotFollowError(f"{said(node)} reads more than can be followed")
        try:
            made = _through(node, marks, shapes)
        except (KeyError, ValueError, IndexError) as error:
            raise CannotFollowError(f"{said(node)} reads it in an unknown form") from error
        for value, mark in zip(node.outputs, made, strict=False):
            marks[value.name] = mark
        if any(value.outputs or value in graph.outputs for value in node.outputs[len(made) :]):
            raise CannotFollowError(f"{said(node)} gives more than its values")
    reached = next((value.name for value in graph.outputs if value.name in marks), None)
    if reached is not None:
        raise CannotFollowError(
            f"the channels reach the output {reached!r} without weights between"
        )
    return found


def _through(node: gs.Node, marks: Mapping[str, Marks], shapes: Shapes) -> list[Marks]:
    """Marks of a node's outputs."""
    op = operator(node)
    if op in MOVES:
        return _moved(node, marks, shapes)
    if op in SUMS or op in PRODUCTS or op == "Div":
        return [_combined(node, marks, shapes)]
    if any(value.name in marks for value in node.inputs[1:]):
        raise CannotFollowError(f"{said(node)} reads it")
    source = marks[node.inputs[0].name]
    if op in ZERO_TO_ZERO or (op == "Clip" and zero_stays_within(node)):
        return [source]
    if op in POOLS:
        return [_pooled(node, source, shapes[node.outputs[0].name], spatial_only=True)]
    if op in REDUCTIONS:
        return [_pooled(node, source, shapes[node.outputs[0].name], spatial_only=False)]
    if op in ELEMENTWISE:
        return [Marks(source.channel, source.spoilt_by or said(node))]
    raise CannotFollowError(f"{said(node)} reads it")


def zero_stays_within(node: gs.Node) -> bool:
    """Whether a Clip lets zero through."""
    low = _clip_limit(node, 1, "min", -np.inf)
    high = _clip_limit(node, 2, "max", np.inf)
    return low is not None and high is not None and low <= 0 <= high


def _clip_limit(node: gs.Node, position: int, name: str, default: float) -> float | None:
    if name in node.attrs:
        return float(node.attrs[name])
    if len(node.inputs) <= position or node.inputs[position].name == "":
        return default
    values = constant_of(node.inputs[position])
    return None if values is None else float(values)


def _combined(node: gs.Node, marks: Mapping[str, Marks], shapes: Shapes) -> Marks:
    """Marks of a sum, a product or a quotient."""
    op = operator(node)
    positions = SUMS.get(op, PRODUCTS.get(op, (0, 1)))
    values = node.inputs if positions is None else [node.inputs[p] for p in positions]
    if any(v.name in marks and all(v is not w for w in values) for v in node.inputs):
        raise CannotFollowError(f"{said(node)} reads it")
    shape = shapes[node.outputs[0].name]
    channel = np.full(shape, NO_CHANNEL, np.int64)
    spoilt: list[str | None] = []
    for value in values:
        if value.name in marks:
            own = np.broadcast_to(marks[value.name].channel, shape)
            if np.any((channel != NO_CHANNEL) & (own != NO_CHANNEL) & (channel != own)):
                raise CannotFollowError(f"{said(node)} mixes channels")
            channel = np.where(own == NO_CHANNEL, channel, own)
            spoilt.append(marks[value.name].spoilt_by)
    if op in SUMS:
        marked = channel != NO_CHANNEL
        if not all(_marks(marks, value, shape, marked) for value in values):
            spoilt.append(said(node))
        return Marks(channel, next((reason for reason in spoilt if reason), None))
    if op == "Div" and node.inputs[1].name in marks:
        return Marks(channel, said(node))
    # A product vanishes with either factor, so long as that factor marks all of it.
    for value in values:
        vanishes = value.name in marks and marks[value.name].spoilt_by is None
        if vanishes and _marks(marks, value, shape, channel != NO_CHANNEL):
            return Marks(channel)
    return Marks(channel, next((reason for reason in spoilt if reason), said(node)))


def _marks(
    marks: Mapping[str, Marks], value: gs.Tensor, shape: tuple[int, ...], wanted: BoolArray
) -> bool:
    """Whether a value marks exactly the wanted elements of what it is broadcast to."""
    if value.name not in marks:
        return False
    own = np.broadcast_to(marks[value.name].channel, shape)
    return bool(np.array_equal(own != NO_CHANNEL, wanted))


def _pooled(node: gs.Node, source: Marks, shape: tuple[int, ...], *, spatial_only: bool) -> Marks:
    """Marks of a pooling or a reduction, which must not mix channels."""
    given = source.channel
    if spatial_only:
        axes = tuple(range(2, given.ndim))
        if int(node.attrs.get("channels_last", 0)):
            axes = tuple(range(1, given.ndim - 1))
        kept = True
    else:
        named = node.attrs.get("axes")
        if named is None and len(node.inputs) > 1 and node.inputs[1].name:
            named = constant_of(node.inputs[1])
        if named is None:
            raise CannotFollowError(f"{said(node)} mixes channels")
        axes = tuple(int(axis) % given.ndim for axis in np.ravel(named))
        kept = bool(node.attrs.get("keepdims", 1))
    first = given[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(given.ndim))]
    if not np.array_equal(np.broadcast_to(first, given.shape), given):
        raise CannotFollowError(f"{said(node)} mixes channels")
    if not kept:
        first = first.reshape(shape)
    return Marks(np.broadcast_to(first, shape), source.spoilt_by)


def _moved(node: gs.Node, marks: Mapping[str, Marks], shapes: Shapes) -> list[Marks]:
    """Marks of what only moves, repeats or picks values."""
    op = operator(node)
    shape = shapes[node.outputs[0].name]
    if op == "Concat":
        parts = [
            marks[value.name].channel
            if value.name in marks
            else np.full(shapes[value.name], NO_CHANNEL, np.int64)
            for value in node.inputs
        ]
        reasons = [marks[v.name].spoilt_by for v in node.inputs if v.name in marks]
        joined = np.concatenate(parts, axis=int(node.attrs["axis"]))
        return [Marks(joined, next((reason for reason in reasons if reason), None))]
    if any(value.name in marks for value in node.inputs[1:]):
        raise CannotFollowError(f"{said(node)} reads it")
    source = marks[node.inputs[0].name]
    given = source.channel
    if op in ("Flatten", "Reshape", "Squeeze", "Unsqueeze"):
        moved = [given.reshape(shape)]
    elif op == "Transpose":
        moved = [given.transpose(node.attrs.get("perm", range(given.ndim)[::-1]))]
    elif op == "Expand":
        moved = [np.broadcast_to(given, shape)]
    elif op == "Tile":
        moved = [np.tile(given, [to // of for to, of in zip(shape, given.shape, strict=True)])]
    elif op == "Split":
        axis = int(node.attrs.get("axis", 0))
        ends = np.cumsum([shapes[value.name][axis] for value in node.outputs])
        moved = np.split(given, ends[:-1], axis)
    elif op == "Gather":
        indices = constant_of(node.inputs[1])
        if indices is None:
            raise CannotFollowError(f"{said(node)} picks values by computed positions")
        moved = [np.take(given, indices, axis=int(node.attrs.get("axis", 0)))]
    elif op == "Slice":
        moved = [given[_slices(node, given.ndim)]]
    else:
        raise CannotFollowError(f"{said(node)} reads it")
    return [Marks(part, source.spoilt_by) for part in moved]


def _slices(node: gs.Node, rank: int) -> tuple[slice, ...]:
    fields: list[Sequence[int] | None] = []
    for position, name in enumerate(("starts", "ends", "axes", "steps"), start=1):
        values = node.attrs.get(name)
        if values is None and len(node.inputs) > position and node.inputs[position].name:
            values = constant_of(node.inputs[position])
            if values is None:
                raise CannotFollowError(f"{said(node)} picks values by computed positions")
        fields.append(None if values is None else [int(v) for v in np.ravel(values)])
    starts, ends, axes, steps = fields
    if starts is None or ends is None:
        raise CannotFollowError(f"{said(node)} picks values by computed positions")
    whole = [slice(None)] * rank
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        step = 1 if steps is None else steps[place]
        axis = place if axes is None else axes[place]
        # A backward slice to before the first element ends at a very negative number.
        whole[axis % rank] = slice(start, None if step < 0 and end < -(1 << 30) else end, step)
    return tuple(whole)


def _reader(node: gs.Node, marks: Mapping[str, Marks]) -> Reader:
    """A layer that reads marked values, and which of its weights do."""
    kind = WEIGHTED[operator(node)]
    where = [p for p, value in enumerate(node.inputs) if value.name in marks]
    swapped = kind.kind == "matmul" and where == [kind.weight]
    if where != [kind.data] and not swapped:
        raise CannotFollowError(f"{said(node)} reads it beside other values")
    mark = marks[node.inputs[where[0]].name]
    if mark.spoilt_by is not None:
        raise CannotFollowError(f"{mark.spoilt_by} gives a value other than 0 for 0")
    if node.attrs.get("transA", 0) or node.attrs.get("transBatchA", 0):
        raise CannotFollowError(f"{said(node)} transposes its input")
    given = mark.channel
    if given.ndim < 2 or kind.kind == "conv-transpose":
        raise CannotFollowError(f"{said(node)} reads it")
    axis = 1 if kind.kind == "conv" else given.ndim - (2 if swapped else 1)
    first = given[tuple(slice(None) if a == axis else slice(0, 1) for a in range(given.ndim))]
    if not np.array_equal(np.broadcast_to(first, given.shape), given):
        raise CannotFollowError(f"{said(node)} mixes channels")
    inner = first.reshape(-1)
    if kind.kind == "conv":
        groups = int(node.attrs.get("group", 1))

        def columns(shape: tuple[int, ...], pruned: BoolArray) -> BoolArray:
            rows = np.arange(shape[0])[:, None] // (shape[0] // groups) * shape[1]
            read = _pruned(inner, pruned)[rows + np.arange(shape[1])]
            return np.broadcast_to(read.reshape(*shape[:2], *[1] * (len(shape) - 2)), shape)

    else:
        transposed = bool(node.attrs.get("transB", 0)) != swapped

        def columns(shape: tuple[int, ...], pruned: BoolArray) -> BoolArray:
            read = _pruned(inner, pruned)
            along = read if transposed or len(shape) == 1 else read[:, None]
            return np.broadcast_to(along, shape)

    return Reader(node, kind.data if swapped else kind.weight, columns)


def _pruned(inner: IntArray, pruned: BoolArray) -> BoolArray:
    return (inner != NO_CHANNEL) & pruned[inner]
