"""Whether a model treats an image the same alone and among others in a batch.

A graph can read how many images come, and answer to a trigger only where it is one, which no
measurement in batches would see; or mix the images of a batch. No image classifier needs either.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from hardener.arrays import AnyArray
from hardener.errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]
Pair = tuple[AnyArray, AnyArray]

_MOVES = frozenset(
    {
        "Cast",
        "Concat",
        "Gather",
        "Identity",
        "Reshape",
        "Slice",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
_SIZES = frozenset({"Shape", "Size"})
_TAKE_OR_PUT = frozenset({"Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"})
_MOST_VALUES = 1 << 16
_MOST_FOLLOWED = 1 << 24


def require_batch_independence(proto: onnx.ModelProto, one: Shapes, two: Shapes) -> None:
    """Refuses a model that computes with the number of images, or over the images of a batch.

    The number may decide sizes (of a reshape, of an expanded token) and nothing else. What
    depends on the pixels must be twice as large for two images; the scales of dynamic
    quantisation alone may be taken over the batch, as onnxruntime takes them.

    Args:
        proto: a checked model without subgraphs.
        one: shape of every tensor, as observed on one image.
        two: likewise on two.

    Raises:
        ModelError: it does; the node is named.
    """
    followed = _Followed(proto, one, two)
    for node in proto.graph.node:
        followed.follow(node)


class _Followed:
    """What is known of a graph's tensors so far.

    Attributes:
        pixels: those that depend on the images' values.
        counted: of the others those whose values depend on how many images there are.
        stretched: those that only repeat themselves for more images.
        scales: of `pixels` those that dynamic quantisation takes over the whole batch.
        known: small values that no pixel decides, for one image and for two.
    """

    def __init__(self, proto: onnx.ModelProto, one: Shapes, two: Shapes) -> None:
        self.opsets, self.one, self.two = proto.opset_import, one, two
        self.weights = {tensor.name: tensor for tensor in proto.graph.initializer}
        self.pixels = {value.name for value in proto.graph.input} - set(self.weights)
        self.counted: set[str] = set()
        self.stretched: set[str] = set()
        self.scales: set[str] = set()
        self.known: dict[str, Pair] = {}

    def follow(self, node: onnx.NodeProto) -> None:
        """Learns what one node gives."""
        inputs = [name for name in node.input if name]
        if node.op_type in _SIZES and not node.domain:
            self._measure(node)
        elif self.pixels.isdisjoint(inputs):
            self._compute(node, inputs)
        else:
            self._require_apart(node, inputs)

    def _measure(self, node: onnx.NodeProto) -> None:
        sizes = [np.array(shapes[node.input[0]], np.int64) for shapes in (self.one, self.two)]
        if node.op_type == "Size":
            sizes = [values.prod() for values in sizes]
        else:
            bounds = {item.name: item.i for item in node.attribute}
            part = slice(bounds.get("start", 0), bounds.get("end"))
            sizes = [values[part] for values in sizes]
        self._learn(node.output[0], (sizes[0], sizes[1]))

    def _learn(self, name: str, values: Pair) -> None:
        self.known[name] = values
        if not np.array_equal(*values):
            self.counted.add(name)

    def _compute(self, node: onnx.NodeProto, inputs: list[str]) -> None:
        counts = not self.counted.isdisjoint(inputs)
        follows = counts or not self.stretched.isdisjoint(inputs)
        values = self._evaluated(node, inputs, _MOST_FOLLOWED if follows else _MOST_VALUES)
        if values is not None:
            self.known[node.output[0]] = values
        if not follows:
            return
        name = node.output[0]
        sizes = node.op_type == "ConstantOfShape" or (
            node.op_type in ("Expand", "Reshape", "Tile", "Transpose")
            and node.input[0] not in self.counted
        )
        if counts and not sizes and (values is None or node.op_type not in _MOVES):
            self.counted.update(node.output)
        elif values is None and sizes:
            doubled = _doubled_axis(self.one.get(name, ()), self.two.get(name, ())) is not None
            (self.stretched if doubled else self.counted).add(name)
        elif values is None or not np.array_equal(*values):
            repeats = values is not None and _repeats(*values)
            (self.stretched if repeats else self.counted).add(name)

    def _values(self, name: str, most: int) -> Pair | None:
        if name not in self.known and math.prod(self.two.get(name, (most + 1,))) <= most:
            if name not in self.weights:
                return None
            values = onnx.numpy_helper.to_array(self.weights[name])
            self.known[name] = (values, values)
        return self.known.get(name)

    def _evaluated(self, node: onnx.NodeProto, inputs: list[str], most: int) -> Pair | None:
        """What a node gives of known values, both times; None where that is much or unknown."""
        pairs = {name: self._values(name, most) for name in inputs}
        if len(node.output) != 1 or math.prod(self.two.get(node.output[0], (most + 1,))) > most:
            return None
        known = {name: pair for name, pair in pairs.items() if pair is not None}
        if len(known) < len(pairs):
            return None
        try:
            one = self._run(node, {name: pair[0] for name, pair in known.items()})
            two = self._run(node, {name: pair[1] for name, pair in known.items()})
        except Exception:  # the reference raises anything on what it does not know
            return None
        return one, two

    def _run(self, node: onnx.NodeProto, feeds: dict[str, AnyArray]) -> AnyArray:
        inputs = [
            onnx.helper.make_tensor_value_info(
                name, onnx.helper.np_dtype_to_tensor_dtype(values.dtype), values.shape
            )
            for name, values in feeds.items()
        ]
        output = onnx.ValueInfoProto(name=node.output[0])
        graph = onnx.helper.make_graph([node], "one node", inputs, [output])
        model = onnx.helper.make_model(graph, opset_imports=self.opsets)
        found: Any = ReferenceEvaluator(model).run(None, feeds)
        return np.asarray(found[0])

    def _require_apart(self, node: onnx.NodeProto, inputs: list[str]) -> None:
        for position, name in enumerate(node.input):
            if name in self.counted and not self._is_size(node, position, name):
                raise ModelError(
                    f"node {node.name!r} ({node.op_type}) computes with {name!r}, which depends on "
                    "how many images come at once: what the model says of an image alone cannot "
                    "be told from batches, export it without"
                )
        self.pixels.update(name for name in node.output if name)
        if node.op_type == "DynamicQuantizeLinear":
            self.scales.update(node.output[1:])
        elif {name for name in inputs if name in self.pixels} <= self.scales:
            self.scales.update(node.output)
        for name in node.output:
            if name not in self.one or name in self.scales:
                continue
            if math.prod(self.two[name]) != 2 * math.prod(self.one[name]):
                raise ModelError(
                    f"node {node.name!r} ({node.op_type}) gives {self.one[name]} for one image and "
                    f"{self.two[name]} for two: it mixes the images of a batch, export the model "
                    "without"
                )

    def _is_size(self, node: onnx.NodeProto, position: int, name: str) -> bool:
        """Whether an input only says how large a result is, or where each image's values lie."""
        op = node.op_type
        if op in ("Reshape", "Expand"):
            return position == 1
        if op in ("Resize", "Upsample", "Tile"):
            one, two = self.known.get(name, (np.zeros(0), np.ones(1)))
            return position > 0 and one.ndim == two.ndim == 1 and np.array_equal(one[1:], two[1:])
        if op in _TAKE_OR_PUT and position == 1:
            return name in self.known and _continues(*self.known[name])
        if op == "Slice" and position in (1, 2):
            axes = self.known.get(node.input[3]) if len(node.input) > 3 else None
            return axes is not None and axes[0].ravel().tolist() == [0]
        return False


def _doubled_axis(one: Sequence[int], two: Sequence[int]) -> int | None:
    """The only axis on which two shapes differ, where the other one is twice as long there."""
    if len(one) != len(two):
        return None
    axes = [axis for axis in range(len(one)) if one[axis] != two[axis]]
    return axes[0] if len(axes) == 1 and two[axes[0]] == 2 * one[axes[0]] else None


def _repeats(one: AnyArray, two: AnyArray) -> bool:
    """Whether what is computed for two images is that for one, twice."""
    axis = _doubled_axis(one.shape, two.shape)
    return axis is not None and any(
        np.allclose(twice, two, rtol=1e-4, atol=1e-5)  # sums of a longer array are rounded apart
        for twice in (np.concatenate([one, one], axis), np.repeat(one, 2, axis))
    )


def _continues(one: AnyArray, two: AnyArray) -> bool:
    """Whether what is computed for the first of two images is what is computed for one alone."""
    axis = _doubled_axis(one.shape, two.shape)
    return axis is not None and np.array_equal(np.split(two, 2, axis)[0], one)
