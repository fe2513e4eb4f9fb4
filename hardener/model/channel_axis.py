"""Which axis of an activation holds the channels, told by the layer that made it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx_graphsurgeon as gs

from hardener.model.operators import POOLS, WEIGHTED, operator
from hardener.model.weights import constant_of

_FIRST = frozenset(
    {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LRN"}
)  # fmt: skip
_LAST = frozenset(
    {
        "LayerNormalization", "RMSNormalization", "com.microsoft::Attention",
        "com.microsoft::BiasGelu", "com.microsoft::MultiHeadAttention",
        "com.microsoft::QAttention", "com.microsoft::SkipLayerNormalization",
    }
)  # fmt: skip
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_REDUCES = "Reduce"
_STEPS_BACK = 12
_MOST_MARKS = 1 << 26


def channel_axis(tensor: gs.Variable, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Follows a tensor back to the layer that made it.

    Convolutions give their channels on axis 1, matrix products on the last axis; transpositions
    and reshapes carry the axis along, and reshapes that come back to an earlier shape (group
    normalisation, channel shuffle) are passed over. Where nothing tells, it is axis 1 of four or
    more and the last of three or fewer.

    Args:
        tensor: an activation.
        shapes: of every tensor, as observed in one run.
    """
    steps: list[list[gs.Node]] = []
    at = tensor
    found: int | None = None
    while found is None:
        node = at.inputs[0] if at.inputs else None
        if node is None:
            found = _default(len(shapes[at.name]))
            break
        op = operator(node)
        rank = len(shapes[at.name])
        if op in WEIGHTED:
            found = _axis_made_by(node, rank)
        elif op in _FIRST or op in POOLS:
            found = rank - 1 if node.attrs.get("channels_last") else 1
        elif op in _LAST:
            found = rank - 1
        else:
            passed = _same_shape_before(at, shapes) if op in _RESHAPES else []
            passed = passed or [node]
            source = _main_source(passed[-1], shapes)
            if source is None:
                found = _default(rank)
            else:
                steps.append(passed)
                at = source
    for passed in reversed(steps):
        source = _main_source(passed[-1], shapes)
        before = shapes[source.name] if source is not None else ()
        if len(passed) > 1:
            found = _rearranged(passed[::-1], found, before, shapes)
        else:
            found = _carried(passed[0], found, before, shapes[passed[0].outputs[0].name])
    return found


def _axis_made_by(node: gs.Node, rank: int) -> int:
    kind = WEIGHTED[operator(node)]
    if kind.kind.startswith("conv"):
        return rank - 1 if node.attrs.get("channels_last") else 1
    weights_first = kind.kind == "matmul" and constant_of(node.inputs[kind.data]) is not None
    return rank - 2 if weights_first else rank - 1


def _same_shape_before(tensor: gs.Variable, shapes: Mapping[str, tuple[int, ...]]) -> list[gs.Node]:
    """The nodes back to an earlier tensor of the same shape, the last one first.

    Empty where a layer with weights, or nothing, comes before such a tensor.
    """
    passed: list[gs.Node] = []
    at: gs.Variable | None = tensor
    for _ in range(_STEPS_BACK):
        if at is None or not at.inputs or operator(at.inputs[0]) in WEIGHTED:
            return []
        passed.append(at.inputs[0])
        at = _main_source(at.inputs[0], shapes)
        if at is not None and shapes[at.name] == shapes[tensor.name]:
            return passed
    return []


def _rearranged(
    nodes: Sequence[gs.Node],
    axis: int,
    before: tuple[int, ...],
    shapes: Mapping[str, tuple[int, ...]],
) -> int:
    """Where an axis lies behind nodes that come back to the shape they started from.

    Every value is marked with its place on the axis, and the marks are moved as the values are.
    A shuffle of channels leaves them on their axis, a transposition between reshapes may not.
    """
    if math.prod(before) > _MOST_MARKS:
        return axis
    form = [size if place == axis else 1 for place, size in enumerate(before)]
    marks = np.broadcast_to(np.arange(before[axis], dtype=np.int32).reshape(form), before)
    for node in nodes:
        after = shapes[node.outputs[0].name]
        if operator(node) == "Transpose":
            marks = marks.transpose(node.attrs.get("perm"))
        elif marks.size == math.prod(after):
            marks = marks.reshape(after)
        else:
            return axis
    varying = [p for p in range(marks.ndim) if np.any(marks != marks.take([0], p))]
    return varying[0] if len(varying) == 1 else axis


def _main_source(node: gs.Node, shapes: Mapping[str, tuple[int, ...]]) -> gs.Variable | None:
    """The input that gives a node's output its form: the computed one of highest rank."""
    computed = [
        value
        for value in node.inputs
        if isinstance(value, gs.Variable)
        and value.inputs
        and operator(value.inputs[0]) not in ("Constant", "Shape")
        and len(shapes.get(value.name, ())) > 1
    ]
    return max(computed, key=lambda value: len(shapes[value.name]), default=None)


def _default(rank: int) -> int:
    return 1 if rank >= 4 else rank - 1


def _carried(node: gs.Node, axis: int, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Where an axis of a node's input lies in its output."""
    op = operator(node)
    if op == "Transpose":
        perm = list(node.attrs.get("perm", range(len(before))[::-1]))
        return perm.index(axis)
    if op in _RESHAPES or op.startswith(_REDUCES) or op == "Gather":
        size = before[axis]
        ahead = int(np.prod(before[:axis]))
        for position, length in enumerate(after):
            if length == size and int(np.prod(after[:position])) == ahead:
                return position
        return _default(len(after))
    return axis + len(after) - len(before) if axis + len(after) - len(before) >= 0 else axis
