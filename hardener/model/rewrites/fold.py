"""Fold: the pruning goes into weights that are there already; no node is added.

Two places can take it. The producer: where a convolution (or the BatchNorm behind it) makes the
feature layer through functions with f(0) = 0, its rows are zeroed,

    W[c] = 0, b[c] = 0   ⇒   x[n, c] = f(0) = 0

and where a residual add or a concatenation comes between, the consumers: the columns that read
channel c are zeroed in every layer the feature map reaches,

    W[:, c] = 0          ⇒   W · x does not depend on x[n, c].
"""

from collections.abc import Collection

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray
from hardener.errors import ModelError
from hardener.model.signature import Signature
from hardener.model.surgery import rebuilt
from hardener.model.topology import FeatureLayer, constant_of, shaped

_ZERO_TO_ZERO = frozenset(
    {
        "Celu", "Elu", "Gelu", "HardSwish", "Identity", "LeakyRelu", "Mish", "PRelu", "Relu",
        "Selu", "Softsign", "Swish", "Tanh", "ThresholdedRelu",
    }
)  # fmt: skip
_POOLS = frozenset(
    {"AveragePool", "Dropout", "GlobalAveragePool", "GlobalMaxPool", "MaxPool"}
)  # fmt: skip
_GATES = frozenset({"HardSigmoid", "Sigmoid"})
_FLATTENS = frozenset({"Flatten", "Reshape", "Squeeze"})


def fold(
    proto: onnx.ModelProto,
    layer: FeatureLayer,
    signature: Signature,
    channels: Collection[int],
) -> onnx.ModelProto:
    """Returns a model with the same nodes whose named channels no longer reach the output.

    Raises:
        ModelError: neither the layer that makes the feature map nor those that read it can take
            the pruning; the message names the node in the way.
    """
    pruned = sorted(channels)
    graph = gs.import_onnx(proto)
    feature = graph.tensors()[layer.name]
    if any(value is feature for value in graph.outputs):
        raise ModelError(f"the feature layer {layer.name!r} is itself an output of the model")
    try:
        _zero_rows(_producer(graph, feature), pruned)
    except _CannotFoldError as before:
        try:
            flattened = _flattened_sizes(proto, signature)
            for node, weight, spread in _consumers(feature, layer.channels, flattened):
                _zero_columns(node, weight, layer.channels, spread, pruned)
        except _CannotFoldError as behind:
            raise ModelError(
                f"the pruning cannot be folded: before the feature layer, {before}; behind it, "
                f"{behind}: use --rewrite mask"
            ) from behind
    return rebuilt(proto, graph)


class _CannotFoldError(Exception):
    """Why one side of the feature layer cannot take the pruning."""


def _producer(graph: gs.Graph, feature: gs.Variable) -> gs.Node:
    """The convolution or BatchNorm whose zeroed rows make the feature layer's channels zero."""
    tensor = feature
    while True:
        if not tensor.inputs:
            raise _CannotFoldError("the images come first")
        node = tensor.inputs[0]
        if node.op in {"BatchNormalization", "Conv"}:
            return node
        source = _zero_preserving_source(node)
        if source is not None and any(value is source for value in graph.outputs):
            raise _CannotFoldError(f"{source.name!r} is an output of the model")
        if source is None:
            raise _CannotFoldError(f"node {node.name!r} ({node.op}) comes between")
        tensor = source


def _zero_preserving_source(node: gs.Node) -> gs.Variable | None:
    """The one activation that `node` maps from zero to zero, if nothing else reads it."""
    source = node.inputs[0]
    readers = [node]
    if node.op == "Clip":
        limits = [_clip_limit(node, 1, "min", -np.inf), _clip_limit(node, 2, "max", np.inf)]
        if limits[0] is None or limits[1] is None or not limits[0] <= 0 <= limits[1]:
            return None
    elif node.op == "Mul":
        gate = next((v for v in node.inputs if v.inputs and v.inputs[0].op in _GATES), None)
        if gate is None or len(gate.outputs) != 1:
            return None
        source = gate.inputs[0].inputs[0]
        if not any(value is source for value in node.inputs):
            return None
        readers.append(gate.inputs[0])
    elif node.op not in _ZERO_TO_ZERO | _POOLS:
        return None
    if {id(reader) for reader in source.outputs} != {id(reader) for reader in readers}:
        return None
    return source if isinstance(source, gs.Variable) else None


def _clip_limit(node: gs.Node, position: int, name: str, default: float) -> float | None:
    if name in node.attrs:
        return float(node.attrs[name])
    if len(node.inputs) <= position or node.inputs[position].name == "":
        return default
    values = constant_of(node.inputs[position])
    return None if values is None else float(values)


def _zero_rows(node: gs.Node, pruned: list[int]) -> None:
    # Conv: weight, bias. BatchNormalization: scale and shift; mean and variance then cancel.
    for position in (1, 2):
        if position < len(node.inputs) and node.inputs[position].name != "":
            values = _weights(node, position)
            values[pruned] = 0
            _replace(node, position, values)


def _consumers(
    feature: gs.Variable, channels: int, flattened: dict[str, int]
) -> list[tuple[gs.Node, int, int]]:
    """Layers that read the feature map: node, position of its weight, columns per channel."""
    found: list[tuple[gs.Node, int, int]] = []
    waiting: list[tuple[gs.Variable, int]] = [(feature, 0)]
    while waiting:
        tensor, spread = waiting.pop()
        if spread == 0 and tensor.name in flattened:
            spread, mixed = divmod(flattened[tensor.name], channels)
            if mixed:
                raise _CannotFoldError(f"{tensor.name!r} mixes channels")
        for node in tensor.outputs:
            flattens = node.op in _FLATTENS and node.outputs[0].name in flattened
            if node.op in _ZERO_TO_ZERO | _POOLS or flattens or _is_spatial_mean(node, spread):
                waiting.append((node.outputs[0], spread))
            elif node.op == "Conv" and spread == 0 and int(node.attrs.get("group", 1)) == 1:
                found.append((node, 1, 1))
            elif node.op in ("Gemm", "MatMul") and spread > 0 and node.inputs[0] is tensor:
                if node.attrs.get("transA", 0):
                    raise _CannotFoldError(f"node {node.name!r} ({node.op}) transposes its input")
                found.append((node, 1, spread))
            else:
                raise _CannotFoldError(f"node {node.name!r} ({node.op}) reads it")
    return found


def _is_spatial_mean(node: gs.Node, spread: int) -> bool:
    if node.op not in ("ReduceMean", "ReduceMax", "ReduceSum") or spread != 0:
        return False
    axes = node.attrs.get("axes")
    if axes is None and len(node.inputs) > 1:
        axes = constant_of(node.inputs[1])
    return axes is not None and {int(axis) % 4 for axis in np.ravel(axes)} == {2, 3}


def _zero_columns(
    node: gs.Node, position: int, channels: int, spread: int, pruned: list[int]
) -> None:
    values = _weights(node, position)
    columns_last = node.op == "Gemm" and node.attrs.get("transB", 0)
    columns = np.moveaxis(values, 1 if node.op == "Conv" or columns_last else 0, 0)
    if columns.shape[0] != channels * spread:
        raise _CannotFoldError(f"node {node.name!r} ({node.op}) has weights of another width")
    for channel in pruned:
        columns[channel * spread : (channel + 1) * spread] = 0
    _replace(node, position, values)


def _weights(node: gs.Node, position: int) -> AnyArray:
    """A copy of a node's weights that may be written to."""
    values = constant_of(node.inputs[position])
    if values is None:
        raise _CannotFoldError(f"node {node.name!r} ({node.op}) computes its weights")
    return np.array(values)


def _replace(node: gs.Node, position: int, values: AnyArray) -> None:
    """Gives one node new weights; other nodes that share the old ones keep them."""
    old = node.inputs[position]
    if len(old.outputs) > 1:
        node.inputs[position] = gs.Constant(
            f"{node.outputs[0].name}/hardener_folded_{position}", values
        )
    elif isinstance(old, gs.Constant):
        node.inputs[position] = gs.Constant(old.name, values)
    else:
        old.inputs[0].attrs["value"] = gs.Constant(old.name, values)


def _flattened_sizes(proto: onnx.ModelProto, signature: Signature) -> dict[str, int]:
    """Width of every (N, columns) tensor."""
    graph = gs.import_onnx(shaped(proto, signature))
    return {
        name: int(tensor.shape[1])
        for name, tensor in graph.tensors().items()
        if tensor.shape is not None and len(tensor.shape) == 2 and isinstance(tensor.shape[1], int)
    }
