"""The head of a static sweep for prunings of which each keeps what the one before kept, and more.

A head that flattens the maps and multiplies them by a matrix adds up one product a channel:
z = b + sum over c of W_c x_c. Where the kept channels only grow, each product is needed once in
a whole sweep and not once for every pruning. Only sums grow, so nothing cancels: z differs from
the product taken at once by no more than the order of its terms.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import FloatArray
from hardener.model.operators import operator
from hardener.model.signature import Signature
from hardener.model.splitting import split
from hardener.model.topology import FeatureLayer
from hardener.model.weights import constant_of

SUM_INPUT = "hardener_sum"
ADDED_INPUT = "hardener_added"


@dataclass(frozen=True, eq=False)
class SummingHead:
    """A head that takes its first product in parts.

    Attributes:
        proto: takes the maps, `hardener_sum` (N, H) and `hardener_added` (K,), positions of the
            channels to add; gives the model's output and the new sum.
        width: H, columns of the first product.
    """

    proto: onnx.ModelProto
    width: int


def summing_head(
    proto: onnx.ModelProto, cut: FeatureLayer, signature: Signature
) -> SummingHead | None:
    """Builds the head behind `cut`, or None where it does not begin with a product.

    Args:
        proto: the model.
        cut: where it is cut in two, from `behind_pooling`.
        signature: its input and output.

    Raises:
        ModelError: the class scores do not depend on `cut`.
    """
    parts = split(proto, cut, signature)
    graph, maps = parts.head, parts.head.inputs[0]
    if (cut.axis, cut.rank) != (1, 4) or maps.dtype != np.float32:
        return None
    if len(parts.border) > 1 or signature.batch is not None:
        return None
    product = _first_product(maps)
    if product is None:
        return None
    matrix, bias = _terms(product)
    if matrix is None or bias is None or matrix.shape[0] % cut.channels:
        return None
    width = matrix.shape[1]
    total, output = gs.Variable("hardener_total", np.float32, ["N", width]), product.outputs[0]
    added = gs.Variable(ADDED_INPUT, np.int64, ["K"])
    before = gs.Variable(SUM_INPUT, np.float32, ["N", width])
    product.outputs.clear()

    def node(op: str, *inputs: gs.Tensor, **attrs: int) -> gs.Variable:
        result = gs.Variable(f"hardener_{len(graph.nodes)}", np.float32)
        graph.nodes.append(gs.Node(op, result.name, attrs, list(inputs), [result]))
        return result

    def constant(name: str, values: FloatArray) -> gs.Constant:
        return gs.Constant(f"hardener_{name}", values)

    by_channel = constant("rows", matrix.reshape(cut.channels, -1, width))
    shape = gs.Constant("hardener_shape", np.array([-1, width], np.int64))
    flat = node("Flatten", node("Gather", maps, added, axis=1), axis=1)
    rows = node("Reshape", node("Gather", by_channel, added, axis=0), shape)
    for inputs, result in (
        ((before, node("MatMul", flat, rows)), total),
        ((total, constant("bias", bias)), output),
    ):
        graph.nodes.append(gs.Node("Add", f"{result.name}/add", None, list(inputs), [result]))
    graph.inputs = [maps, before, added]
    graph.outputs = [*graph.outputs, total]
    graph.cleanup(remove_unused_graph_inputs=False).toposort()
    return SummingHead(gs.export_onnx(graph, do_type_check=False), width)


def _first_product(maps: gs.Variable) -> gs.Node | None:
    """The Gemm or MatMul that alone reads the flattened maps."""
    tensor, flattened = maps, False
    while len(tensor.outputs) == 1:
        (node,) = tensor.outputs
        if operator(node) in ("Gemm", "MatMul") and node.inputs[0] is tensor:
            return node if flattened else None
        flattened |= operator(node) in ("Flatten", "Reshape")
        if not _keeps_images_in_rows(node) or len(node.outputs) > 1:
            return None
        tensor = node.outputs[0]
    return None


def _keeps_images_in_rows(node: gs.Node) -> bool:
    """Whether it flattens every image's maps to one row, channel by channel, or copies."""
    if operator(node) == "Flatten":
        return int(node.attrs.get("axis", 1)) == 1
    if operator(node) == "Reshape":
        shape = constant_of(node.inputs[1])
        return shape is not None and shape.size == 2
    return operator(node) in ("Dropout", "Identity")


def _terms(product: gs.Node) -> tuple[FloatArray | None, FloatArray | None]:
    """The matrix (rows, H) and the bias (H,) that a product adds; None where not constant."""
    attrs = product.attrs
    matrix = constant_of(product.inputs[1])
    if matrix is None or matrix.ndim != 2 or matrix.dtype != np.float32 or attrs.get("transA"):
        return None, None
    if attrs.get("transB"):
        matrix = matrix.T
    if len(product.inputs) < 3:
        bias = np.zeros(matrix.shape[1], np.float32)
    else:
        stored = constant_of(product.inputs[2])
        if stored is None or stored.size not in (1, matrix.shape[1]):
            return None, None
        bias = np.broadcast_to(stored.ravel(), (matrix.shape[1],))
    scaled = matrix * np.float32(attrs.get("alpha", 1.0))
    return np.ascontiguousarray(scaled), bias * np.float32(attrs.get("beta", 1.0))
