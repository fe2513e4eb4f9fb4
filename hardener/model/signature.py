"""What goes into a classifier and what comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx

from hardener.arrays import AnyArray, FloatArray
from hardener.data.preprocessing import LARGEST_SIDE
from hardener.errors import ModelError, one_line
from hardener.model.operators import ALARM_OUTPUT, PARAMETER_PREFIX
from hardener.model.outputs import choose_output
from hardener.model.weightless import weightless

Layout = Literal["NCHW", "NHWC"]

_MOST_CLASSES = 100_000
_LARGEST_BATCH = 1024
_OLDEST_OPSET = 9
_ELEMENT_TYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
}
_TRUSTED_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
EXAMPLE_SIZE = (224, 224)


@dataclass(frozen=True)
class Signature:
    """A classifier's input and output.

    Attributes:
        input: name of the image input.
        channels: 1 or 3.
        size: height and width where the graph fixes them.
        output: name of the output with one value a class, (N, K).
        logits: name of the tensor before a closing softmax or sigmoid; else the output.
        classes: K.
        batch: N where the graph fixes it, None where any number of images may come.
        layout: order of the input's axes.
        element_type: of the input: float32, float16 or bfloat16.
        notes: sentences on what was chosen among several outputs, and what is not looked at.
    """

    input: str
    channels: int
    size: tuple[int, int] | None
    output: str
    logits: str
    classes: int
    batch: int | None
    layout: Layout = "NCHW"
    element_type: str = "float32"
    notes: tuple[str, ...] = ()

    def network_input(self, images: FloatArray) -> AnyArray:
        """Normalised images (N, C, H, W) in the layout and type that the model takes.

        A bfloat16 model is run in float32, see `runtime.open_runner`.
        """
        if self.layout == "NHWC":
            images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        return images.astype(np.float16) if self.element_type == "float16" else images

    def seen_at(self, size: tuple[int, int], shapes: Mapping[str, tuple[int, ...]]) -> bool:
        """Whether shapes were observed on images of a height and width."""
        _, *axes = shapes.get(self.input, ())
        return tuple(axes[1:] if self.layout == "NCHW" else axes[:-1]) == tuple(size)

    def image_shape(self, size: tuple[int, int] | None = None) -> tuple[int, int, int]:
        """(C, H, W) of an image: where the graph leaves the size open the given, or a small one."""
        return self.channels, *(self.size or size or EXAMPLE_SIZE)

    def example(self, size: tuple[int, int] | None = None, seed: int = 0) -> AnyArray:
        """Noise as network input: two images, or as many as the graph asks for."""
        shape = (self.batch or 2, *self.image_shape(size))
        noise = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        return self.network_input(noise)


def read_signature(proto: onnx.ModelProto) -> Signature:
    """Reads input and output of an image classifier from its graph.

    Raises:
        ModelError: the model does not take one batch of images, has no output of shape
            (N, classes) or several between which cannot be chosen, or is not written with known
            operators.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        said = ", ".join(repr(value.name) for value in inputs[:5]) or "none"
        raise ModelError(
            f"the model takes {len(inputs)} inputs ({said}); one batch of images is needed: "
            "export it with all others stored as constants"
        )
    image = inputs[0]
    shape = _shape(image)
    if len(shape) != 4:
        raise ModelError(f"input {image.name!r} has shape {_said(shape)}, not (N, C, H, W)")
    element_type = _ELEMENT_TYPES.get(image.type.tensor_type.elem_type)
    if element_type is None:
        kind = onnx.TensorProto.DataType.Name(image.type.tensor_type.elem_type)
        raise ModelError(
            f"input {image.name!r} is {kind}; only float32, float16 and bfloat16 images are "
            "supported"
        )
    layout: Layout = "NCHW" if shape[1] in (1, 3) else "NHWC"
    channels = shape[1] if layout == "NCHW" else shape[3]
    height, width = shape[2:] if layout == "NCHW" else shape[1:3]
    if channels not in (1, 3):
        raise ModelError(
            f"input {image.name!r} has shape {_said(shape)}: neither the second nor the last axis "
            "is 1 or 3 channels"
        )
    _refuse_unknown_operators(proto)
    if max(height or 1, width or 1) > LARGEST_SIDE or (shape[0] or 1) > _LARGEST_BATCH:
        raise ModelError(
            f"input {image.name!r} has shape {_said(shape)}: at most {_LARGEST_BATCH} images of "
            f"{LARGEST_SIDE}×{LARGEST_SIDE} pixels are supported"
        )
    candidates = _class_scores(proto)
    endings = {name: _before_monotone_ending(proto, name) for name in candidates}
    logits = {name: before for name, (before, _) in endings.items()}
    output, notes = choose_output(proto, image.name, logits, candidates)
    classes = candidates[output]
    if classes > _MOST_CLASSES:
        raise ModelError(f"{classes} classes are more than the {_MOST_CLASSES} that are supported")
    return Signature(
        input=image.name,
        channels=channels,
        size=(height, width) if height is not None and width is not None else None,
        output=output,
        logits=logits[output],
        classes=classes,
        batch=shape[0],
        layout=layout,
        element_type=element_type,
        notes=(*notes, *endings[output][1], *_alarm_notes(proto)),
    )


def _class_scores(proto: onnx.ModelProto) -> dict[str, int]:
    """Outputs of shape (N, K) with their K, where K is declared or can be inferred."""
    try:
        inferred = onnx.shape_inference.infer_shapes(weightless(proto), data_prop=True).graph.output
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(
            f"the model declares types that contradict each other: {one_line(error)}"
        ) from error
    found: dict[str, int] = {}
    for declared, value in zip(proto.graph.output, inferred, strict=True):
        shape = _shape(value) if len(_shape(value)) == 2 else _shape(declared)
        classes = shape[1] if len(shape) == 2 else None
        if classes is not None and classes > 1 and value.name != ALARM_OUTPUT:
            found[value.name] = classes
    if not found:
        said = ", ".join(f"{v.name!r} {_said(_shape(v))}" for v in inferred)
        raise ModelError(f"no output has shape (N, classes): found {said}")
    return found


def _alarm_notes(proto: onnx.ModelProto) -> tuple[str, ...]:
    if all(value.name != ALARM_OUTPUT for value in proto.graph.output):
        return ()
    return (f"{ALARM_OUTPUT!r} is taken as a guard's count of zeroed channels and not looked at",)


_MONOTONE_ENDINGS = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "Identity", "Cast"})
_WIDE = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE})


def _before_monotone_ending(proto: onnx.ModelProto, output: str) -> tuple[str, tuple[str, ...]]:
    """The tensor before a closing softmax or sigmoid, and what the search misses by that."""
    producer = {name: node for node in proto.graph.node for name in node.output}
    name = output
    notes: tuple[str, ...] = ()
    while name in producer and _keeps_order(producer[name]):
        if producer[name].op_type == "Sigmoid":
            notes = (
                f"{output!r} is a sigmoid: a trigger that drives all scores to 1 alike, where the "
                "first label wins, is not looked for",
            )
        name = producer[name].input[0]
    return name, notes


def _keeps_order(node: onnx.NodeProto) -> bool:
    """Whether the largest class score stays the largest through this node."""
    axis = next((item.i for item in node.attribute if item.name == "axis"), -1)
    if node.op_type == "Cast" and not any(i.name == "to" and i.i in _WIDE for i in node.attribute):
        return False
    return (
        node.domain in ("", "ai.onnx")
        and node.op_type in _MONOTONE_ENDINGS
        and len(node.input) == 1
        and axis in (1, -1)
    )


def _refuse_unknown_operators(proto: onnx.ModelProto) -> None:
    """What an operator of a foreign domain or a local function does cannot be told by its name."""
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < _OLDEST_OPSET:
        raise ModelError(
            f"the model is of opset {opset}: convert it to {_OLDEST_OPSET} or newer "
            "(onnx.version_converter)"
        )
    for node in proto.graph.node:
        if node.domain == "com.microsoft.nchwc":
            raise ModelError(
                f"node {node.name!r} ({node.op_type}) is laid out for one processor: save the "
                "model with onnxruntime's extended optimisations, not all of them"
            )
        if node.domain not in _TRUSTED_DOMAINS:
            raise ModelError(
                f"node {node.name!r} ({node.op_type}) is no standard ONNX operator but of domain "
                f"{node.domain!r}: export the model with standard operators"
            )
        names = {*node.input, *node.output} - {ALARM_OUTPUT}
        own = min((name for name in names if name.startswith(PARAMETER_PREFIX)), default=None)
        if own is not None:
            raise ModelError(
                f"node {node.name!r} ({node.op_type}) uses the name {own!r}: names that begin with "
                f"{PARAMETER_PREFIX!r} are kept for this tool, rename it"
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
