"""ONNX to torch and back, for what changes weights: the graph stays, node for node."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import onnx

from hardener.arrays import AnyArray, FloatArray
from hardener.errors import InconclusiveError, ModelError
from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.network_plan import network_plan
from hardener.model.signature import Signature

_TRAINED_INPUTS: Mapping[str, tuple[int, ...]] = {
    "BatchNormalization": (1, 2),
    "Conv": (1, 2),
    "ConvTranspose": (1, 2),
    "Gemm": (1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "PRelu": (1,),
    "FusedConv": (1, 2),  # onnxruntime's, which lead to those above
    "FusedGemm": (1, 2),
    "FusedMatMul": (0, 1),
}
"""Where an operator reads weights that training may change; never the statistics of a norm."""

_TRAINED_TYPES = frozenset(
    {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}
)


def trainable(proto: onnx.ModelProto, signature: Signature) -> GraphNetwork:
    """Turns an ONNX classifier into a torch module whose weights can be trained.

    Parameters are the stored floating-point weights that convolutions, products and
    normalisations read directly, and biases that are added. Whatever the graph computes out of
    weights before it uses them stays frozen, as do the statistics of normalisations.

    The module takes normalised images (N, C, H, W) float32 and gives the logits. Normalisations
    run as at inference.

    Args:
        proto: the model.
        signature: its input and output.

    Raises:
        ModelError: an operator has no gradient here, or the model holds no weight that could be
            trained (a quantised model).
    """
    plan, names = training_plan(proto, signature)
    return GraphNetwork(plan, signature.layout == "NHWC", names).eval()


def training_plan(
    proto: onnx.ModelProto, signature: Signature
) -> tuple[NetworkPlan, frozenset[str]]:
    """The graph as torch runs it, and the names of the weights that `trainable` trains.

    Raises:
        ModelError: as `trainable`.
    """
    plan = network_plan(proto, signature)
    names = _trained_names(proto, plan)
    if not any(plan.constants[name].dim() > 1 for name in names):
        raise ModelError(
            "the model holds no floating-point weights that could be trained: repair it before it "
            "is quantised"
        )
    return plan, frozenset(names)


def trained_weights(network: GraphNetwork) -> dict[str, FloatArray]:
    """A copy of a network's trained weights, by the names of their initializers."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.trained.items()}


def with_weights(proto: onnx.ModelProto, weights: Mapping[str, FloatArray]) -> onnx.ModelProto:
    """The same graph with other numbers in some initializers, in the type they had.

    Args:
        proto: the model; it is not changed.
        weights: new values by the initializers' names, of the same shapes.

    Raises:
        InconclusiveError: a value is not finite in the initializer's type.
        ModelError: an initializer is missing or has another shape.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    stored = {tensor.name: tensor for tensor in changed.graph.initializer}
    for name, values in weights.items():
        if name not in stored or tuple(stored[name].dims) != values.shape:
            raise ModelError(f"the model has no weight {name!r} of shape {values.shape}")
        old: AnyArray = onnx.numpy_helper.to_array(stored[name])
        with np.errstate(over="ignore"):  # told next, in words
            new = values.astype(old.dtype)
        if not np.isfinite(new.astype(np.float32)).all():
            raise InconclusiveError(f"training left weight {name!r} with values that are no number")
        stored[name].CopyFrom(onnx.numpy_helper.from_array(new, name))
    return changed


def _trained_names(proto: onnx.ModelProto, plan: NetworkPlan) -> set[str]:
    """Stored weights that nothing reads but what trains them.

    The plan says what the network trains; the graph says what else would change with a weight:
    the plan has computed what depends on no image.
    """
    stored = {t.name for t in proto.graph.initializer if t.data_type in _TRAINED_TYPES}
    vectors = {name for name, value in plan.constants.items() if value.dim() == 1}
    wanted: set[str] = set()
    other = {value.name for value in proto.graph.output}
    for node in plan.nodes:
        if not node.domain:
            wanted |= _trained_of(node.op, node.inputs, vectors)
    for proto_node in proto.graph.node:
        trained = _trained_of(proto_node.op_type, proto_node.input, vectors)
        other |= set(_read_by(proto_node)) - trained
        # A weight that one node reads in two places, of which one is not trained.
        other |= {name for name in trained if list(proto_node.input).count(name) > 1}
    names = (wanted & stored) - other
    return {name for name in names if plan.constants[name].dim()}


def _trained_of(op: str, inputs: Sequence[str], vectors: Collection[str]) -> set[str]:
    if op == "Add":
        return {name for name in inputs if name in vectors}
    places = _TRAINED_INPUTS.get(op, ())
    return {name for place, name in enumerate(inputs) if name and place in places}


def _read_by(node: onnx.NodeProto) -> Iterable[str]:
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from (value.name for value in graph.output)
            for inner in graph.node:
                yield from _read_by(inner)
