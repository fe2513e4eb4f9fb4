"""Places removed along one axis of a tensor, and what that removes of a node's other tensors.

Either way through a node: from what it reads to what it gives, or back. Layers with weights are
no part of this; there a removal ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray, BoolArray, DoubleArray
from hardener.model.channel_flow import ELEMENTWISE, PRODUCTS, SUMS, CannotFollowError, Shapes
from hardener.model.operators import (
    POOLS,
    REDUCTIONS,
    ZERO_TO_ZERO,
    operator,
    said,
)
from hardener.model.weights import constant_of

PER_CHANNEL = frozenset({"BatchNormalization", "InstanceNormalization"})
"""Their parameters lie along axis 0, one a channel."""

BROADCAST = (
    ZERO_TO_ZERO
    | (ELEMENTWISE - PER_CHANNEL)
    | SUMS.keys()
    | PRODUCTS.keys()
    | {"Div", "Max", "Min", "com.microsoft::BiasGelu"}
)
"""Element by element, every input broadcast."""

QUANTISES = frozenset(
    {
        "DequantizeLinear", "QuantizeLinear",
        "com.microsoft::DequantizeLinear", "com.microsoft::QuantizeLinear",
    }
)  # fmt: skip
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
JOINS = {"Concat": (0, 1), "com.microsoft::QLinearConcat": (2, 3)}
"""Where a concatenation's parts begin among its inputs, and how many inputs one part has."""
_MOST_MARKS = 1 << 27


@dataclass(frozen=True, eq=False)
class Cut:
    """What is removed of a tensor.

    Attributes:
        axis: along which.
        gone: true for each place along it that is removed.
        left: for each place what it would hold where the feature layer's pruned channels are
            zero, the same in all images and positions, 0 for places that stay; None where what
            it would hold is not known, which is allowed before the feature layer.
    """

    axis: int
    gone: BoolArray
    left: DoubleArray | None = None

    @property
    def stays(self) -> int:
        """How many places are left."""
        return int(np.count_nonzero(~self.gone))

    @property
    def vanishes(self) -> bool:
        """Whether what is removed is known to be zero."""
        return self.left is not None and not self.left.any()

    def removes_as(self, other: "Cut") -> bool:
        """Whether both remove the same."""
        return self.axis == other.axis and np.array_equal(self.gone, other.gone)


Cuts = Mapping[int, Cut]
"""Cuts of a node's inputs, or of its outputs, by position."""


def cuts_of_inputs(node: gs.Node, position: int, cut: Cut, shapes: Shapes) -> dict[int, Cut]:
    """What a node must be given so that one of its outputs lacks what `cut` removes.

    Args:
        node: no layer with weights.
        position: of the output.
        cut: of the output.
        shapes: of every tensor, as observed in one run.

    Raises:
        CannotFollowError: what the node gives elsewhere would change too, or it is not known.
    """
    op = operator(node)
    cut = replace(cut, left=None)
    after = shapes[node.outputs[position].name]
    if op in BROADCAST - QUANTISES:
        return _broadcast(node, cut, len(after), shapes)
    if op in JOINS:
        return _parts(node, cut, len(after), shapes)
    parameters: dict[int, Cut] = {}
    if op in QUANTISES:
        own, parameters = cut, _scales(node, cut, len(after), shapes)
    elif op in PER_CHANNEL and cut.axis == 1:
        own, parameters = cut, {p: Cut(0, cut.gone) for p in range(1, len(node.inputs))}
    elif op in POOLS:
        own = _pooled(node, cut, len(after))
    elif op in REDUCTIONS:
        own = replace(cut, axis=_kept_axes(node, shapes)[cut.axis])
    elif op in _RESHAPES:
        own = _reshaped(node, cut, after, shapes[node.inputs[0].name])
    elif op == "Transpose":
        own = replace(cut, axis=_order(node, len(after))[cut.axis])
    elif op == "Split":
        own = _whole(node, position, cut, shapes)
    else:
        raise CannotFollowError(f"{said(node)} comes between")
    return {0: own, **parameters}


def cuts_of_outputs(node: gs.Node, given: Cuts, shapes: Shapes) -> dict[int, Cut]:
    """What a node's outputs lack where its inputs lack what is given.

    What is `left` is carried along as if the node only moved it.

    Args:
        node: no layer with weights.
        given: cuts of its inputs, at least one.
        shapes: of every tensor, as observed in one run.

    Raises:
        CannotFollowError: what the node gives elsewhere would change too, or it is not known.
    """
    op = operator(node)
    position, cut = next(iter(given.items()))
    before = shapes[node.inputs[position].name]
    if op in JOINS:
        made = _joined(node, given, shapes)
    elif op in BROADCAST:
        made = replace(cut, axis=cut.axis + len(shapes[node.outputs[0].name]) - len(before))
    elif position != 0:
        raise CannotFollowError(f"{said(node)} reads it")
    elif op == "Split":
        return _split(node, cut, shapes)
    elif (op in PER_CHANNEL and cut.axis == 1) or (op == "DynamicQuantizeLinear" and cut.vanishes):
        made = cut  # zero is always within the range that sets a dynamic scale
    elif op in POOLS:
        made = _pooled(node, cut, len(before))
    elif op in REDUCTIONS and cut.axis in (kept := _kept_axes(node, shapes)):
        made = replace(cut, axis=kept.index(cut.axis))
    elif op in _RESHAPES:
        made = _reshaped(node, cut, before, shapes[node.outputs[0].name])
    elif op == "Transpose":
        made = replace(cut, axis=_order(node, len(before)).index(cut.axis))
    else:
        raise CannotFollowError(f"{said(node)} reads it")
    return {0: made}


def _positions_joined(node: gs.Node) -> range:
    """Positions of the tensors that a concatenation joins."""
    first, step = JOINS[operator(node)]
    return range(first, len(node.inputs), step)


def _broadcast(node: gs.Node, cut: Cut, rank: int, shapes: Shapes) -> dict[int, Cut]:
    found: dict[int, Cut] = {}
    for position, value in enumerate(node.inputs):
        shape = shapes[value.name] if value.name else ()
        axis = cut.axis - (rank - len(shape))
        if axis >= 0 and shape[axis] == len(cut.gone):
            found[position] = replace(cut, axis=axis)
    return found


def _scales(node: gs.Node, cut: Cut, rank: int, shapes: Shapes) -> dict[int, Cut]:
    """Of a quantisation's scale and zero point what belongs to the places removed."""
    found: dict[int, Cut] = {}
    for position, value in list(enumerate(node.inputs))[1:]:
        shape = shapes[value.name] if value.name else ()
        if len(shape) > 1:
            raise CannotFollowError(f"{said(node)} quantises in blocks")
        axis = int(node.attrs.get("axis", 1)) % rank
        if shape not in ((), (1,)) and axis == cut.axis:
            found[position] = Cut(0, cut.gone)
    return found


def _pooled(node: gs.Node, cut: Cut, rank: int) -> Cut:
    if cut.axis != (rank - 1 if int(node.attrs.get("channels_last", 0)) else 1):
        raise CannotFollowError(f"{said(node)} mixes channels")
    return cut


def _kept_axes(node: gs.Node, shapes: Shapes) -> list[int]:
    """For each axis behind a reduction which one it was before; -1 for those reduced to 1."""
    rank = len(shapes[node.inputs[0].name])
    named = node.attrs.get("axes")
    if named is None and len(node.inputs) > 1 and "::" not in operator(node):
        named = constant_of(node.inputs[1])
    if named is None:
        raise CannotFollowError(f"{said(node)} mixes channels")
    reduced = {int(axis) % rank for axis in np.ravel(named)}
    if node.attrs.get("keepdims", 1):
        return [-1 if axis in reduced else axis for axis in range(rank)]
    return [axis for axis in range(rank) if axis not in reduced]


def _reshaped(node: gs.Node, cut: Cut, shape: tuple[int, ...], other: tuple[int, ...]) -> Cut:
    """The cut of a tensor of shape `other` that holds the same values in the same order.

    Every value is marked as removed or not, and the marks are reshaped as the values are.
    """
    if int(np.prod(shape)) > _MOST_MARKS:
        raise CannotFollowError(f"{said(node)} reads more than can be followed")

    def spread(values: AnyArray) -> AnyArray:
        form = [-1 if axis == cut.axis else 1 for axis in range(len(shape))]
        return np.broadcast_to(values.reshape(form), shape).reshape(other)

    marks = spread(cut.gone)
    varying = [axis for axis in range(marks.ndim) if np.any(marks != marks.take([0], axis))]
    if len(varying) != 1:
        raise CannotFollowError(f"{said(node)} spreads channels over several axes")
    (axis,) = varying
    if axis == 0 and other[0] != len(cut.gone):
        raise CannotFollowError(f"{said(node)} joins the channels of several images")
    line = tuple(slice(None) if place == axis else 0 for place in range(marks.ndim))
    gone = marks[line].copy()
    if cut.left is None or cut.vanishes:
        return Cut(axis, gone, None if cut.left is None else np.zeros(len(gone)))
    left = spread(cut.left)
    form = [-1 if place == axis else 1 for place in range(left.ndim)]
    if np.any(left != left[line].reshape(form)):
        raise CannotFollowError(f"{said(node)} spreads channels over several axes")
    return Cut(axis, gone, left[line].copy())


def _order(node: gs.Node, rank: int) -> list[int]:
    return [int(axis) for axis in node.attrs.get("perm", range(rank)[::-1])]


def _parts(node: gs.Node, cut: Cut, rank: int, shapes: Shapes) -> dict[int, Cut]:
    """Cuts of the parts; one that keeps nothing is cut whole."""
    if int(node.attrs["axis"]) % rank != cut.axis:
        return dict.fromkeys(_positions_joined(node), cut)
    found: dict[int, Cut] = {}
    start = 0
    for position in _positions_joined(node):
        end = start + shapes[node.inputs[position].name][cut.axis]
        if cut.gone[start:end].any():
            found[position] = Cut(cut.axis, cut.gone[start:end])
        start = end
    return found


def _joined(node: gs.Node, given: Cuts, shapes: Shapes) -> Cut:
    cut = next(iter(given.values()))
    rank = len(shapes[node.outputs[0].name])
    if int(node.attrs["axis"]) % rank != cut.axis:
        held = [_left(given[p]) if p in given else None for p in _positions_joined(node)]
        if not all(left is not None and np.array_equal(left, _left(cut)) for left in held):
            raise CannotFollowError(f"{said(node)} joins it with other values of the channels")
        return cut
    widths = {p: shapes[node.inputs[p].name][cut.axis] for p in _positions_joined(node)}
    gone = [given[p].gone if p in given else np.zeros(n, np.bool_) for p, n in widths.items()]
    left = [_left(given[p]) if p in given else np.zeros(n) for p, n in widths.items()]
    return Cut(cut.axis, np.concatenate(gone), np.concatenate(left))


def _left(cut: Cut) -> DoubleArray:
    return np.zeros(len(cut.gone)) if cut.left is None else cut.left


def _split(node: gs.Node, cut: Cut, shapes: Shapes) -> dict[int, Cut]:
    rank = len(shapes[node.inputs[0].name])
    if int(node.attrs.get("axis", 0)) % rank != cut.axis:
        return dict.fromkeys(range(len(node.outputs)), cut)
    found: dict[int, Cut] = {}
    start = 0
    for position, value in enumerate(node.outputs):
        end = start + shapes[value.name][cut.axis]
        if cut.gone[start:end].any():
            found[position] = Cut(cut.axis, cut.gone[start:end], _left(cut)[start:end])
        start = end
    return found


def _whole(node: gs.Node, position: int, cut: Cut, shapes: Shapes) -> Cut:
    """The cut of what is split, where one part is cut."""
    rank = len(shapes[node.inputs[0].name])
    if int(node.attrs.get("axis", 0)) % rank != cut.axis:
        return cut
    gone = np.zeros(shapes[node.inputs[0].name][cut.axis], np.bool_)
    start = sum(shapes[value.name][cut.axis] for value in node.outputs[:position])
    gone[start : start + len(cut.gone)] = cut.gone
    return Cut(cut.axis, gone)
