"""Constants of a graph: read, and zeroed in a copy, also through what dequantises them."""

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx_graphsurgeon.ir.tensor import LazyValues

from hardener.arrays import AnyArray, BoolArray
from hardener.model.operators import operator, present, said

_DEQUANTISES = frozenset({"DequantizeLinear", "com.microsoft::DequantizeLinear"})
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_VALUES = ("value", "value_float", "value_floats", "value_int", "value_ints")
_SCALAR_ZERO: AnyArray = np.zeros((), np.int64)


class NotConstantError(Exception):
    """A layer's weights are computed in a way that cannot be taken back to stored values."""


def stored_values(constant: gs.Constant) -> AnyArray:
    """Values in the type they are stored in.

    graph-surgeon turns types that numpy lacks (bfloat16) into float32, in the graph itself, when
    it is asked for the values.
    """
    held = constant._values
    if type(held) is LazyValues:
        return onnx.numpy_helper.to_array(held.tensor)
    return np.asarray(constant.values)


def constant_of(tensor: gs.Tensor) -> AnyArray | None:
    """The values of an initializer or a Constant node's output; None for anything computed."""
    if isinstance(tensor, gs.Constant):
        return stored_values(tensor)
    node = tensor.inputs[0] if tensor.inputs else None
    if node is not None and operator(node) == "Identity":
        return constant_of(node.inputs[0])
    name = next((name for name in _VALUES if node is not None and name in node.attrs), None)
    if node is None or name is None or operator(node) != "Constant":
        return None
    value = node.attrs[name]
    if isinstance(value, gs.Constant):
        return stored_values(value)
    return np.asarray(value, np.float32 if "float" in name else np.int64)


def zero_weights(
    graph: gs.Graph,
    node: gs.Node,
    position: int,
    where: BoolArray,
    zero: AnyArray = _SCALAR_ZERO,
) -> None:
    """Zeroes some of a layer's weights, in a copy where other nodes read them too.

    Weights that are stored as integers become what dequantises to zero.

    Args:
        graph: the graph that the layer is part of.
        node: the layer.
        position: of the weight among its inputs.
        where: true for the weights to zero, in the shape that the layer sees.
        zero: what stands for zero, broadcast to the weights.

    Raises:
        NotConstantError: the layer's weights are not constant.
    """
    tensor = node.inputs[position]
    maker = tensor.inputs[0] if tensor.inputs else None
    if isinstance(tensor, gs.Constant) or (maker is not None and operator(maker) == "Constant"):
        values = constant_of(tensor)
        if values is None or values.shape != where.shape:
            raise NotConstantError(f"{said(node)} has weights of another form")
        try:
            filler = np.broadcast_to(zero.astype(values.dtype), values.shape)
        except ValueError as error:
            raise NotConstantError(f"{said(node)} has zero points of another form") from error
        zeroed = np.where(where, filler, values)
        _replace(node, position, zeroed)
        return
    if maker is None or len(maker.outputs) != 1:
        raise NotConstantError(f"{said(node)} computes its weights")
    where, zero = _seen_from_below(node, maker, where, zero)
    if len(tensor.outputs) > 1:
        maker = own_copy(graph, maker, node, position)
    zero_weights(graph, maker, 0, where, zero)


def _replace(node: gs.Node, position: int, values: AnyArray) -> None:
    old = node.inputs[position]
    if len(old.outputs) > 1:
        name = f"{node.outputs[0].name}/hardener_folded_{position}"
        node.inputs[position] = gs.Constant(name, values)
    elif isinstance(old, gs.Constant):
        node.inputs[position] = gs.Constant(old.name, values)
    else:
        old.inputs[0].attrs.clear()
        old.inputs[0].attrs["value"] = gs.Constant(old.name, values)


def _seen_from_below(
    reader: gs.Node, maker: gs.Node, where: BoolArray, zero: AnyArray
) -> tuple[BoolArray, AnyArray]:
    """The same weights as the node that makes them sees them among its own inputs."""
    op = operator(maker)
    if op in ("Cast", "Identity"):
        return where, zero
    if op in _DEQUANTISES:
        return where, _zero_point(reader, maker, where.ndim)
    if op == "Transpose":
        order = np.argsort(maker.attrs.get("perm", range(where.ndim)[::-1]))
        return where.transpose(order), np.broadcast_to(zero, where.shape).transpose(order)
    below = constant_of(maker.inputs[0])
    if op in _RESHAPES and below is not None:
        return where.reshape(below.shape), np.broadcast_to(zero, where.shape).reshape(below.shape)
    raise NotConstantError(f"{said(reader)} computes its weights")


def _zero_point(reader: gs.Node, dequantises: gs.Node, rank: int) -> AnyArray:
    if not present(dequantises, 2):
        return _SCALAR_ZERO
    values = constant_of(dequantises.inputs[2])
    if values is None or values.ndim > 1:
        raise NotConstantError(f"{said(reader)} has weights quantised in blocks")
    if values.size == 1:
        return values.reshape(())
    axis = int(dequantises.attrs.get("axis", 1)) % rank
    return values.reshape([-1 if position == axis else 1 for position in range(rank)])


def own_copy(graph: gs.Graph, maker: gs.Node, reader: gs.Node, position: int) -> gs.Node:
    """Gives one reader its own copy of the node that makes one of its inputs."""
    name = f"{reader.outputs[0].name}/hardener_{maker.op}_{position}"
    own = gs.Variable(name, maker.outputs[0].dtype)
    copy = gs.Node(
        maker.op, name, dict(maker.attrs), list(maker.inputs), [own], domain=maker.domain
    )
    place = next(index for index, node in enumerate(graph.nodes) if node is reader)
    graph.nodes.insert(place, copy)
    reader.inputs[position] = own
    return copy
