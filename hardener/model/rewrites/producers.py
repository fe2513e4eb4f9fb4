"""The layers whose zeroed rows make channels of a tensor zero."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import onnx_graphsurgeon as gs

from hardener.arrays import IntArray
from hardener.model.channel_flow import CannotFollowError, Shapes, zero_stays_within
from hardener.model.operators import GATES, POOLS, WEIGHTED, ZERO_TO_ZERO, operator, present, said
from hardener.model.weights import constant_of

_FUSED_ACTIVATIONS = frozenset({"", "LeakyRelu", "Relu", "Tanh"})


@dataclass(frozen=True, eq=False)
class Rows:
    """Weights that make channels.

    Attributes:
        node: the layer.
        position: of the weight or the bias among its inputs.
        axis: of that weight along which the channels lie.
        channels: the feature layer's channel for each place along it.
    """

    node: gs.Node
    position: int
    axis: int
    channels: IntArray


def makers_of(graph: gs.Graph, feature: gs.Variable, axis: int, shapes: Shapes) -> list[Rows]:
    """Finds the weights whose zeroed rows make the feature layer's channels zero.

    Between them and the feature layer lies nothing but what keeps zero and is read by no other
    node, so that nothing else changes.

    Args:
        graph: the model.
        feature: the feature layer.
        axis: which of its axes holds the channels.
        shapes: of every tensor, as observed in one run.

    Raises:
        CannotFollowError: something else comes between; the message names the node.
    """
    outputs = {value.name for value in graph.outputs}
    channels = np.arange(shapes[feature.name][axis])
    return list(_makers(feature, axis, channels, shapes, outputs))


def _makers(
    tensor: gs.Variable, axis: int, channels: IntArray, shapes: Shapes, outputs: Collection[str]
) -> Iterator[Rows]:
    if not tensor.inputs:
        raise CannotFollowError("the images come first")
    node = tensor.inputs[0]
    op, rank = operator(node), len(shapes[tensor.name])
    if op in WEIGHTED:
        yield from _weight_rows(node, axis, rank, channels, shapes)
        return
    if op == "BatchNormalization":
        # Scale and shift; mean and variance then cancel.
        yield from (Rows(node, position, 0, channels) for position in (1, 2))
        return
    if op == "Concat" and int(node.attrs["axis"]) % rank == axis:
        if len({part.name for part in node.inputs}) < len(node.inputs):
            raise CannotFollowError(f"{said(node)} joins a tensor to itself")
        start = 0
        for part in node.inputs:
            width = shapes[part.name][axis]
            _require_alone(part, [node], outputs)
            own = channels[start : start + width]
            yield from _makers(part, axis, own, shapes, outputs)
            start += width
        return
    if op == "Add":
        source, rows = _biased(node, axis, rank, channels)
        yield rows
    elif op == "Mul":
        source = _scaled_or_gated(node, outputs)
    elif op == "Transpose":
        order = node.attrs.get("perm", range(rank)[::-1])
        source, axis = node.inputs[0], int(order[axis])
    elif _keeps_zero(node, axis):
        source = node.inputs[0]
    else:
        raise CannotFollowError(f"{said(node)} comes between")
    if op != "Mul":
        _require_alone(source, [node], outputs)
    yield from _makers(source, axis, channels, shapes, outputs)


def _keeps_zero(node: gs.Node, axis: int) -> bool:
    op = operator(node)
    if op == "Clip":
        return zero_stays_within(node)
    return op in ZERO_TO_ZERO or (op in POOLS and axis == 1)


def _weight_rows(
    node: gs.Node, axis: int, rank: int, channels: IntArray, shapes: Shapes
) -> Iterator[Rows]:
    kind = WEIGHTED[operator(node)]
    convolution = kind.kind == "conv"
    if (
        kind.kind == "conv-transpose"
        or present(node, kind.addend)
        or axis != (1 if convolution else rank - 1)
        or node.attrs.get("activation", "") not in _FUSED_ACTIVATIONS
    ):
        raise CannotFollowError(f"{said(node)} comes between")
    first = convolution or bool(node.attrs.get("transB", 0))
    columns = len(shapes[node.inputs[kind.weight].name]) - 1
    yield Rows(node, kind.weight, 0 if first else columns, channels)
    if kind.bias is not None and present(node, kind.bias):
        shape = shapes[node.inputs[kind.bias].name]
        if not shape or shape[-1] != len(channels):
            raise CannotFollowError(f"{said(node)} adds the same to all channels")
        yield Rows(node, kind.bias, len(shape) - 1, channels)


def _biased(node: gs.Node, axis: int, rank: int, channels: IntArray) -> tuple[gs.Variable, Rows]:
    """The computed summand of an addition with a constant, and the rows of that constant."""
    constants = [
        (p, v) for p, value in enumerate(node.inputs) if (v := constant_of(value)) is not None
    ]
    if len(constants) != 1:
        raise CannotFollowError(f"{said(node)} comes between")
    position, values = constants[0]
    own_axis = axis - (rank - values.ndim)
    if own_axis < 0 or values.shape[own_axis] != len(channels):
        raise CannotFollowError(f"{said(node)} adds the same to all channels")
    return node.inputs[1 - position], Rows(node, position, own_axis, channels)


def _scaled_or_gated(node: gs.Node, outputs: Collection[str]) -> gs.Variable:
    """The factor of a product that makes it zero: beside a constant or its own gate."""
    for position, value in enumerate(node.inputs):
        source = node.inputs[1 - position]
        if constant_of(value) is not None:
            _require_alone(source, [node], outputs)
            return source
        gate = value.inputs[0] if value.inputs else None
        if gate is not None and operator(gate) in GATES and gate.inputs[0] is source:
            _require_alone(value, [node], outputs)
            _require_alone(source, [node, gate], outputs)
            return source
    raise CannotFollowError(f"{said(node)} comes between")


def _require_alone(tensor: gs.Tensor, readers: list[gs.Node], outputs: Collection[str]) -> None:
    if tensor.name in outputs:
        raise CannotFollowError(f"{tensor.name!r} is an output of the model")
    other = [node for node in tensor.outputs if all(node is not reader for reader in readers)]
    if other:
        raise CannotFollowError(f"{said(other[0])} reads {tensor.name!r} too")
