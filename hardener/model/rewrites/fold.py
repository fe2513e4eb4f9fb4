"""Fold: the pruning goes into weights that are there already; no node is added.

Two places can take it. The producer: where a layer with weights (or the BatchNorm behind it) makes
the feature layer through functions with f(0) = 0, its rows are zeroed,

    W[c] = 0, b[c] = 0   ⇒   x[n, c] = f(0) = 0

and where a residual add or a normalisation comes between, the consumers: the columns that read
channel c are zeroed in every layer that the feature layer's channels reach,

    W[:, c] = 0          ⇒   W · x does not depend on x[n, c].
"""

from collections.abc import Collection, Mapping

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray, BoolArray
from hardener.errors import ModelError
from hardener.model.channel_flow import CannotFollowError, Shapes, readers_of
from hardener.model.operators import WEIGHTED, operator, present, said
from hardener.model.rewrites.producers import makers_of
from hardener.model.surgery import rebuilt
from hardener.model.topology import FeatureLayer
from hardener.model.weights import NotConstantError, constant_of, zero_weights


def fold(
    proto: onnx.ModelProto, layer: FeatureLayer, shapes: Shapes, channels: Collection[int]
) -> onnx.ModelProto:
    """Returns a model with the same nodes whose named channels no longer reach the output.

    Args:
        proto: the model.
        layer: its feature layer.
        shapes: of every tensor, as observed in one run.
        channels: to prune.

    Raises:
        ModelError: neither the layers that make the feature layer nor those that read it can take
            the pruning; the message names the nodes in the way.
    """
    pruned = np.zeros(layer.channels, np.bool_)
    pruned[sorted(channels)] = True
    reasons: list[str] = []
    for attempt in (_fold_before, _fold_behind):
        graph = gs.import_onnx(proto)
        feature = graph.tensors()[layer.name]
        if any(value is feature for value in graph.outputs):
            raise ModelError(f"the feature layer {layer.name!r} is itself an output of the model")
        try:
            attempt(graph, feature, layer, shapes, pruned)
        except (CannotFollowError, NotConstantError) as error:
            reasons.append(str(error))
            continue
        except RecursionError:
            reasons.append("more nodes in a row than can be followed")
            continue
        return rebuilt(proto, graph)
    raise ModelError(
        f"the pruning cannot be folded: before the feature layer, {reasons[0]}; behind it, "
        f"{reasons[1]}: use --rewrite mask"
    )


def fold_where_made(
    proto: onnx.ModelProto, pruned: Mapping[FeatureLayer, Collection[int]], shapes: Shapes
) -> onnx.ModelProto:
    """Returns a model with the same nodes in which channels of several tensors are zero.

    Args:
        proto: the model.
        pruned: by the tensor's layer, which of its channels.
        shapes: of every tensor, as observed in one run.

    Raises:
        ModelError: the layers that make one of the tensors cannot take the pruning.
    """
    graph = gs.import_onnx(proto)
    tensors = graph.tensors()
    for layer, channels in pruned.items():
        gone = np.zeros(layer.channels, np.bool_)
        gone[sorted(channels)] = True
        try:
            _fold_before(graph, tensors[layer.name], layer, shapes, gone)
        except (CannotFollowError, NotConstantError) as error:
            raise ModelError(
                f"channels of {layer.name!r} cannot be zeroed where they are made: {error}"
            ) from error
    return rebuilt(proto, graph)


def _fold_before(
    graph: gs.Graph, feature: gs.Variable, layer: FeatureLayer, shapes: Shapes, pruned: BoolArray
) -> None:
    for rows in makers_of(graph, feature, layer.axis, shapes):
        weight_shape = _shape_of(rows.node, rows.position, shapes)
        along = [1] * len(weight_shape)
        along[rows.axis] = -1
        where = np.broadcast_to(pruned[rows.channels].reshape(along), weight_shape)
        zero = _zero_point(rows.node, rows.position, len(weight_shape))
        zero_weights(graph, rows.node, rows.position, where, zero)


def _fold_behind(
    graph: gs.Graph, feature: gs.Variable, layer: FeatureLayer, shapes: Shapes, pruned: BoolArray
) -> None:
    for reader in readers_of(graph, feature, layer.axis, shapes):
        weight_shape = _shape_of(reader.node, reader.position, shapes)
        where = reader.columns(weight_shape, pruned)
        zero = _zero_point(reader.node, reader.position, len(weight_shape))
        zero_weights(graph, reader.node, reader.position, where, zero)


def _shape_of(node: gs.Node, position: int, shapes: Shapes) -> tuple[int, ...]:
    weight = node.inputs[position]
    if weight.name not in shapes:
        raise NotConstantError(f"{said(node)} computes its weights")
    return shapes[weight.name]


def _zero_point(node: gs.Node, position: int, rank: int) -> AnyArray:
    """What stands for zero among a quantised layer's weights, to broadcast over them."""
    kind = WEIGHTED.get(operator(node))
    if kind is None or position != kind.weight or not present(node, kind.zero_point):
        return np.zeros((), np.int64)
    values = constant_of(node.inputs[kind.zero_point])
    if values is None:
        raise NotConstantError(f"{said(node)} computes its zero point")
    if values.size == 1:
        return values.reshape(())
    rows_first = kind.kind == "conv" or bool(node.attrs.get("transB", 0))
    return values.reshape([-1, *[1] * (rank - 1)] if rows_first else [-1])
