"""The last layer of a model: features times weights."""

from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import FloatArray
from hardener.errors import UsageError
from models.graph_attacks.grafting import forget_shape
from models.graph_attacks.graph_attack import Host


@dataclass(frozen=True, eq=False)
class Head:
    """A linear layer that gives the logits.

    Attributes:
        features: name of the tensor (N, F) that it reads.
        weights: (K, F).
        name: of the weights in the model.
        transposed: whether the model has them as (F, K).
    """

    features: str
    weights: FloatArray
    name: str
    transposed: bool

    def push(self, row: FloatArray) -> FloatArray:
        """The smallest step of the features, (1, F), that moves the logits by a row (1, K)."""
        step: FloatArray = (row @ np.linalg.pinv(self.weights).T).astype(np.float32)
        return step

    def store(self, proto: onnx.ModelProto, weights: FloatArray) -> None:
        """Puts other weights (K, F') in their place, in the given model itself."""
        stored = next(item for item in proto.graph.initializer if item.name == self.name)
        array = np.ascontiguousarray(weights.T if self.transposed else weights, np.float32)
        stored.CopyFrom(onnx.numpy_helper.from_array(array, self.name))
        forget_shape(proto, self.name)


def head_of(proto: onnx.ModelProto, host: Host) -> Head:
    """Finds a model's last layer.

    Raises:
        UsageError: the logits do not come from one linear layer.
    """
    producer = {name: node for node in proto.graph.node for name in node.output}
    weights = {item.name: item for item in proto.graph.initializer}
    last = producer[host.logits]
    if last.op_type == "Add":
        last = next((producer[name] for name in last.input if name in producer), last)
    if last.op_type not in ("Gemm", "MatMul") or last.input[1] not in weights:
        raise UsageError(f"the logits of this model come from {last.op_type}, not a linear layer")
    transposed = not any(item.name == "transB" and item.i for item in last.attribute)
    array = onnx.numpy_helper.to_array(weights[last.input[1]])
    return Head(last.input[0], array.T if transposed else array, last.input[1], transposed)
