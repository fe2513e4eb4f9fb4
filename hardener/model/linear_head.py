"""The last linear layer of a classifier: the weights that make its logits."""

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import FloatArray
from hardener.errors import ModelError
from hardener.model.operators import WEIGHTED, operator, said
from hardener.model.paths import DataPaths, data_paths
from hardener.model.signature import Signature
from hardener.model.weights import constant_of

_KEEP_ROWS = frozenset({"Add", "Cast", "Identity", "Flatten", "Reshape", "Squeeze"})
"""What may follow the layer and leaves each logit with its own row: an Add of constants alone."""


def linear_head(proto: onnx.ModelProto, signature: Signature) -> FloatArray:
    """Reads the weights of the fully connected layer that the logits come from.

    Args:
        proto: the model.
        signature: its input and output.

    Returns:
        (K, features) one row of weights a label.

    Raises:
        ModelError: the graph does not end in such a layer; the message says what it ends in.
    """
    graph = gs.import_onnx(proto)
    paths = data_paths(graph, signature.input, signature.logits)
    node = _made_by(signature.logits, paths)
    while operator(node) in _KEEP_ROWS:
        values = paths.inputs(node)
        if len(values) != 1:
            raise ModelError(f"the logits are a sum of several tensors ({said(node)})")
        node = _made_by(values[0].name, paths)
    if operator(node) not in ("Gemm", "MatMul"):
        raise ModelError(f"the logits come from {said(node)}, no fully connected layer")
    layer = WEIGHTED[operator(node)]
    # With the activation second, or turned round, the rows of the result would not count images.
    from_images = [value.name for value in paths.inputs(node)]
    if from_images != [node.inputs[layer.data].name] or node.attrs.get("transA", 0):
        raise ModelError(f"{said(node)} does not multiply features by stored weights")
    weights = constant_of(node.inputs[layer.weight])
    if weights is None or weights.ndim != 2:
        raise ModelError(f"the weights of {said(node)} are not stored as a plain matrix")
    rows = weights if node.attrs.get("transB", 0) else weights.T
    if rows.shape[0] != signature.classes:
        raise ModelError(
            f"{said(node)} has {rows.shape[0]} rows of weights for {signature.classes} labels"
        )
    return np.asarray(rows, np.float32) * np.float32(node.attrs.get("alpha", 1.0))


def _made_by(name: str, paths: DataPaths) -> gs.Node:
    for node in reversed(paths.nodes):
        if any(value.name == name for value in node.outputs):
            return node
    raise ModelError("the logits are the images themselves")
