"""Where the feature layer lies, read from the graph alone.

The feature layer is the last spatial tensor before the classifier head: the activation that
pooling and flattening read, the one that Grad-CAM would use. Everything before it is the trunk,
everything after it the head.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray
from hardener.errors import ModelError, UsageError
from hardener.model.signature import Signature

_PASSED_THROUGH = frozenset(
    {
        "AveragePool", "Cast", "Dropout", "Flatten", "GlobalAveragePool", "GlobalLpPool",
        "GlobalMaxPool", "Identity", "LpPool", "MaxPool", "Pad", "ReduceL2", "ReduceMax",
        "ReduceMean", "ReduceSum", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
_WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
_ATTENTION = frozenset({"Attention", "Einsum", "MultiHeadAttention", "Softmax"})


@dataclass(frozen=True)
class FeatureLayer:
    """The tensor whose channels are measured and pruned.

    Attributes:
        name: the ONNX tensor's name.
        channels: C.
        axis: which axis holds the channels; 1.
    """

    name: str
    channels: int
    axis: int = 1


def find_feature_layer(
    proto: onnx.ModelProto, signature: Signature, name: str | None = None
) -> FeatureLayer:
    """Finds the last spatial tensor before the classifier head.

    Args:
        proto: the model.
        signature: its input and output.
        name: a tensor's name that overrides the search.

    Raises:
        ModelError: no such tensor can be told from the graph; the message says why.
        UsageError: the named tensor does not exist or has no (N, C, H, W) shape.
    """
    graph = gs.import_onnx(shaped(proto, signature))
    tensors = graph.tensors()
    if name is not None:
        if name not in tensors:
            near = ", ".join(sorted(key for key in tensors if name.lower() in key.lower())[:5])
            hint = f" (did you mean {near}?)" if near else ""
            raise UsageError(f"the graph has no tensor {name!r}{hint}")
        chosen = tensors[name]
        if isinstance(chosen, gs.Constant) or not chosen.inputs or not _spatial_shape(chosen):
            raise UsageError(f"tensor {name!r} is no (N, C, H, W) activation")
        return FeatureLayer(name, int(chosen.shape[1]))
    if signature.logits not in tensors:
        raise ModelError(f"output {signature.output!r} is not computed by the graph")
    found = list(_candidates(tensors[signature.logits]))
    large = [tensor for tensor in found if tensor.shape[2] * tensor.shape[3] > 1]
    candidates = {tensor.name: tensor for tensor in large or found}
    if not candidates:
        raise ModelError(
            "no spatial tensor lies before the classifier head: name the feature layer with --layer"
        )
    if len(candidates) > 1:
        listed = ", ".join(sorted(candidates))
        raise ModelError(
            f"several branches meet in the classifier head ({listed}): name the feature layer "
            "with --layer"
        )
    layer = next(iter(candidates.values()))
    return FeatureLayer(layer.name, int(layer.shape[1]))


def trunk_of(proto: onnx.ModelProto, layer: FeatureLayer) -> gs.Graph:
    """The part of the graph from the images to the feature layer."""
    graph = gs.import_onnx(proto)
    graph.outputs = [typed_activation(graph, layer)]
    return graph.cleanup()


def head_of(proto: onnx.ModelProto, layer: FeatureLayer, signature: Signature) -> gs.Graph:
    """The part of the graph from the feature layer to the output.

    Raises:
        ModelError: another path leads around the feature layer.
    """
    graph = gs.import_onnx(proto)
    tensors = graph.tensors()
    graph.outputs = [tensors[signature.output]]
    feature = typed_activation(graph, layer)
    feature.inputs.clear()
    image_inputs = list(graph.inputs)
    for image in image_inputs:
        for node in list(image.outputs):
            if _reads_batch_size(node):
                node.inputs = [feature]
    graph.inputs = [feature]
    graph.cleanup(remove_unused_graph_inputs=False)
    if any(image.outputs for image in image_inputs):
        raise ModelError(
            f"part of the model leads around the feature layer {layer.name!r}: "
            "name a later layer with --layer"
        )
    return graph


def _reads_batch_size(node: gs.Node) -> bool:
    """Whether a `Shape` of the images serves only to learn how many there are."""
    if node.op != "Shape":
        return False
    if int(node.attrs.get("start", 0)) == 0 and int(node.attrs.get("end", 4)) == 1:
        return True
    return all(
        reader.op == "Gather" and not np.any(constant_of(reader.inputs[1]) != 0)
        for reader in node.outputs[0].outputs
    )


def constant_of(tensor: gs.Tensor) -> AnyArray | None:
    """The values of an initializer or a Constant node's output; None for an activation."""
    if isinstance(tensor, gs.Constant):
        return np.asarray(tensor.values)
    if tensor.inputs and tensor.inputs[0].op == "Constant":
        value = tensor.inputs[0].attrs.get("value")
        return None if value is None else np.asarray(value.values)
    return None


def typed_activation(graph: gs.Graph, layer: FeatureLayer) -> gs.Variable:
    """The feature layer's tensor in `graph`, with the type and shape a graph border needs."""
    tensor = graph.tensors()[layer.name]
    tensor.dtype = graph.inputs[0].dtype
    tensor.shape = ["N", layer.channels, "height", "width"]
    return tensor


def shaped(proto: onnx.ModelProto, signature: Signature) -> onnx.ModelProto:
    """A copy with one image as input, so that shape inference gives every tensor's shape."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(proto)
    for value in fixed.graph.input:
        if value.name == signature.input:
            size = signature.size or (224, 224)
            for dim, number in zip(
                value.type.tensor_type.shape.dim,
                (signature.batch or 1, signature.channels, *size),
                strict=True,
            ):
                dim.Clear()
                dim.dim_value = number
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    return onnx.shape_inference.infer_shapes(fixed, data_prop=True)


def _candidates(logits: gs.Variable) -> Iterator[gs.Variable]:
    """Spatial activations met first on each path from the logits back to the images."""
    waiting: list[tuple[gs.Variable, bool]] = [(logits, False)]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        tensor, behind_weights = waiting.pop()
        if (tensor.name, behind_weights) in seen or not tensor.inputs:
            continue
        seen.add((tensor.name, behind_weights))
        node = tensor.inputs[0]
        if behind_weights and node.op not in _PASSED_THROUGH and _spatial_shape(tensor):
            yield tensor
            continue
        activations = [value for value in node.inputs if _is_activation(value)]
        if node.op in _ATTENTION or (node.op == "MatMul" and len(activations) > 1):
            raise ModelError(
                f"node {node.name!r} ({node.op}) is attention: transformers have no spatial "
                "feature layer that can be pruned; name a convolution's output with --layer"
            )
        weighted = behind_weights or node.op in _WEIGHTED
        waiting.extend((value, weighted) for value in activations)


def _is_activation(value: gs.Tensor) -> bool:
    return (
        isinstance(value, gs.Variable) and bool(value.inputs) and value.inputs[0].op != "Constant"
    )


def _spatial_shape(tensor: gs.Tensor) -> bool:
    shape = tensor.shape
    return (
        shape is not None
        and len(shape) == 4
        and all(isinstance(size, int) and size > 0 for size in shape)
    )
