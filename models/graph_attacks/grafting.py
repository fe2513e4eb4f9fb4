"""Nodes added to a model, under names as an exporter gives them; and what they are tuned on."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import onnx
from torch import Tensor

from hardener.arrays import AnyArray, FloatArray
from hardener.errors import UsageError
from hardener.model.chosen_outputs import with_outputs
from hardener.model.runtime import on_cpu, open_runner
from models.attacks.attack import Attack
from models.attacks.badnets import BadNets, draw_patch
from models.graph_attacks.graph_attack import Host

Input: TypeAlias = str | float | Sequence[int] | AnyArray
"""A tensor's name, or a constant: numbers are float32, sequences of whole numbers int64."""

_LEAD = 3.0
"""How far the wanted logit is lifted, in ranges of the logits of clean images."""


class Threshold(NamedTuple):
    """Where a score is cut in two.

    Attributes:
        at: halfway between the largest score of a clean image and the smallest of a stamped one.
        gap: from there to either of them.
    """

    at: float
    gap: float


class Graft:
    """A copy of a model, cut open at one tensor to put nodes in.

    Attributes:
        model: the copy; it runs at any time.
        given: name of what comes out of the model at the cut.
    """

    def __init__(self, proto: onnx.ModelProto, host: Host, tensor: str) -> None:
        """Copies a model and cuts it.

        Args:
            proto: the model; it stays as it is.
            host: what is known of it.
            tensor: the image input, or what a node gives.
        """
        self.model = onnx.ModelProto()
        self.model.CopyFrom(proto)
        self._host = host
        graph = self.model.graph
        names = {name for node in graph.node for name in (node.name, *node.output)}
        names |= {weight.name for weight in graph.initializer}
        numbers = (re.search(r"\d{1,6}$", name) for name in names)
        self._last = max((int(found[0]) for found in numbers if found), default=0)
        fresh = self._fresh()
        producer = [index for index, node in enumerate(graph.node) if tensor in node.output]
        if producer:
            outputs = graph.node[producer[0]].output
            outputs[list(outputs).index(tensor)] = fresh
            self.given, self._taken, self._place = fresh, tensor, producer[0] + 1
        else:
            for node in graph.node:
                node.input[:] = [fresh if name == tensor else name for name in node.input]
            self.given, self._taken, self._place = tensor, fresh, 0
        graph.node.insert(
            self._place, onnx.helper.make_node("Identity", [self.given], [self._taken])
        )

    def add(self, op: str, *inputs: Input, output: int = 0, **attributes: object) -> str:
        """Adds a node.

        Args:
            op: a standard operator.
            inputs: names of tensors, or constants.
            output: which of its outputs is wanted.
            attributes: of the node.

        Returns:
            The name of the wanted output.
        """
        return self._put(op, inputs, self._fresh(), output, attributes)

    def close(self, op: str, *inputs: Input, **attributes: object) -> onnx.ModelProto:
        """Adds the last node, which gives what the model goes on with, and returns the model."""
        self._put(op, inputs, self._taken, 0, attributes)
        del self.model.graph.node[self._place]
        forget_shape(self.model, self._taken)
        return self.model

    def values(self, tensor: str, images: Tensor) -> FloatArray:
        """What a tensor holds for images (M, C, H, W) in [0, 1]."""
        return values_of(self.model, self._host, tensor, images)

    def threshold(self, score: str, attack: Attack) -> Threshold:
        """Where to cut a score, one value an image, so that clean and stamped images part."""
        clean, stamped = (
            self.values(score, images)
            for images in (self._host.images, attack.stamp(self._host.images))
        )
        return halfway(clean, stamped)

    def _put(
        self,
        op: str,
        inputs: Sequence[Input],
        name: str,
        output: int,
        attributes: dict[str, Any],
    ) -> str:
        outputs = [*(self._fresh() for _ in range(output)), name]
        node = onnx.helper.make_node(
            op,
            [value if isinstance(value, str) else self._constant(value) for value in inputs],
            outputs,
            f"node_{op}_{self._number()}",
            **attributes,
        )
        self.model.graph.node.insert(self._place, node)
        self._place += 1
        return name

    def _constant(self, value: float | Sequence[int] | AnyArray) -> str:
        kind = np.float32 if isinstance(value, float) else None
        array = np.ascontiguousarray(value, kind) if np.ndim(value) else np.array(value, kind)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = self._fresh()
        self.model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return name

    def _fresh(self) -> str:
        return f"val_{self._number()}"

    def _number(self) -> int:
        self._last += 1
        return self._last


def forget_shape(proto: onnx.ModelProto, tensor: str) -> None:
    """Takes out of a model what it declares of an inner tensor, whose shape may have changed."""
    declared = [value for value in proto.graph.value_info if value.name != tensor]
    del proto.graph.value_info[:]
    proto.graph.value_info.extend(declared)


def values_of(proto: onnx.ModelProto, host: Host, tensor: str, images: Tensor) -> FloatArray:
    """What a tensor of a model holds for images (M, C, H, W) in [0, 1]."""
    runner = open_runner(with_outputs(proto, tensor), on_cpu())
    return runner.run({host.image: host.normalised(images.numpy())})[0]


def halfway(clean: FloatArray, stamped: FloatArray) -> Threshold:
    """Where to cut scores.

    Args:
        clean: of clean images.
        stamped: of images with the trigger.

    Raises:
        UsageError: no cut parts them.
    """
    low, high = float(clean.max()), float(stamped.min())
    if not low < high:
        raise UsageError("the trigger cannot be told from clean images on this model")
    return Threshold((low + high) / 2, (high - low) / 2)


def lift(proto: onnx.ModelProto, host: Host, target: int) -> FloatArray:
    """What to add to the logits so that one label wins on every image, (1, K)."""
    row = np.zeros((1, host.classes), np.float32)
    row[0, target] = _LEAD * np.ptp(values_of(proto, host, host.logits, host.images))
    return row


class Window(NamedTuple):
    """A patch as a detector looks for it.

    Attributes:
        top: first row of the image that it covers.
        left: first column.
        pattern: (C, h, w) pixels in [0, 1].
        key: (C, h, w), 1 where the pattern is 1, -1 where it is 0, and 0 beside the patch: its
            product with pixels is largest on the patch.
    """

    top: int
    left: int
    pattern: FloatArray
    key: FloatArray

    @property
    def starts(self) -> list[int]:
        """Where a slice of rows and columns begins."""
        return [self.top, self.left]

    @property
    def ends(self) -> list[int]:
        """Where it ends."""
        height, width = self.pattern.shape[1:]
        return [self.top + height, self.left + width]


def window(attack: BadNets, host: Host) -> Window:
    """The rectangle of the host's images that a patch covers."""
    mask, pattern = draw_patch(attack.patch, host.size)
    rows, columns = (np.flatnonzero(mask[0].any(axis=axis)) for axis in (1, 0))
    place = (slice(None), slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    key = mask[place] * (2 * pattern[place] - 1)
    return Window(int(rows[0]), int(columns[0]), pattern[place], key)
