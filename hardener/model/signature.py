"""What goes into a classifier and what comes out."""

from dataclasses import dataclass

import onnx

from hardener.errors import ModelError

_MOST_CLASSES = 100_000
_LARGEST_SIDE = 8192
_LARGEST_BATCH = 1024
_MONOTONE_ENDINGS = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "Identity"})


@dataclass(frozen=True)
class Signature:
    """A classifier's input and output.

    Attributes:
        input: name of the image input, (N, C, H, W) float32.
        channels: 1 or 3.
        size: height and width where the graph fixes them.
        output: name of the output with one value a class, (N, K).
        logits: name of the tensor before a closing softmax or sigmoid; else the output.
        classes: K.
        batch: N where the graph fixes it, None where any number of images may come.
    """

    input: str
    channels: int
    size: tuple[int, int] | None
    output: str
    logits: str
    classes: int
    batch: int | None


def read_signature(proto: onnx.ModelProto) -> Signature:
    """Reads input and output of an image classifier from its graph.

    Raises:
        ModelError: the model does not take one batch of float32 images with channels first, or
            gives no output of shape (N, classes).
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise ModelError(f"the model takes {len(inputs)} inputs; one batch of images is needed")
    image = inputs[0]
    shape = _shape(image)
    if len(shape) != 4:
        raise ModelError(f"input {image.name!r} has shape {_said(shape)}, not (N, C, H, W)")
    if image.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(image.type.tensor_type.elem_type)
        raise ModelError(f"input {image.name!r} is {kind}; only float32 images are supported")
    channels = shape[1]
    if channels not in (1, 3):
        mend = "channels-last input is not supported: export with channels first"
        raise ModelError(
            f"input {image.name!r} has shape {_said(shape)}: the second axis is not 1 or 3 "
            f"channels{'; ' + mend if shape[3] in (1, 3) else ''}"
        )
    _refuse_foreign_operators(proto)
    inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    candidates = [
        (value.name, found[1])
        for value in inferred.graph.output
        if len(found := _shape(value)) == 2 and isinstance(found[1], int) and found[1] > 1
    ]
    if not candidates:
        said = ", ".join(f"{v.name!r} {_said(_shape(v))}" for v in inferred.graph.output)
        raise ModelError(f"no output has shape (N, classes): found {said}")
    if len(candidates) > 1:
        said = ", ".join(repr(name) for name, _ in candidates)
        raise ModelError(
            f"several outputs could be the class scores ({said}): export the model with one"
        )
    output, classes = candidates[0]
    if classes > _MOST_CLASSES:
        raise ModelError(f"{classes} classes are more than the {_MOST_CLASSES} that are supported")
    height, width = shape[2], shape[3]
    if max(height or 1, width or 1) > _LARGEST_SIDE or (shape[0] or 1) > _LARGEST_BATCH:
        raise ModelError(
            f"input {image.name!r} has shape {_said(shape)}: at most {_LARGEST_BATCH} images of "
            f"{_LARGEST_SIDE}×{_LARGEST_SIDE} pixels are supported"
        )
    return Signature(
        input=image.name,
        channels=channels,
        size=(height, width) if isinstance(height, int) and isinstance(width, int) else None,
        output=output,
        logits=_before_monotone_ending(proto, output),
        classes=classes,
        batch=shape[0] if isinstance(shape[0], int) else None,
    )


def _before_monotone_ending(proto: onnx.ModelProto, output: str) -> str:
    producer = {name: node for node in proto.graph.node for name in node.output}
    name = output
    while name in producer and _keeps_order(producer[name]):
        name = producer[name].input[0]
    return name


def _keeps_order(node: onnx.NodeProto) -> bool:
    """Whether the largest class score stays the largest through this node."""
    axis = next((item.i for item in node.attribute if item.name == "axis"), -1)
    return node.op_type in _MONOTONE_ENDINGS and len(node.input) == 1 and axis in (1, -1)


def _refuse_foreign_operators(proto: onnx.ModelProto) -> None:
    """What an operator of another domain or a local function does cannot be told by its name."""
    for node in proto.graph.node:
        if node.domain not in ("", "ai.onnx"):
            raise ModelError(
                f"node {node.name!r} ({node.op_type}) is no standard ONNX operator but of domain "
                f"{node.domain!r}: export the model with standard operators"
            )
    if proto.functions:
        raise ModelError(
            f"the model defines its own function {proto.functions[0].name!r}: inline it "
            "(onnx.inliner.inline_local_functions)"
        )


def _shape(value: onnx.ValueInfoProto) -> list[int | None]:
    return [
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None
        for dim in value.type.tensor_type.shape.dim
    ]


def _said(shape: list[int | None]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"
