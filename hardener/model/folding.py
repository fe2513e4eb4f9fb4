"""A graph without its constant operands: each becomes the constant that it is, its branch goes.

On every image on which the operands are what they are on the clean ones, the new graph gives the
same values, bit by bit where they are exact. What they do on others it no longer does.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import AnyArray
from hardener.model.bfloat16 import in_float32

_BROADCAST = frozenset(
    {
        "Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
        "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu",
        "Pow", "Sub", "Sum", "Where", "Xor",
    }
)  # fmt: skip
"""Operators that take an operand of one image beside one of many."""


@dataclass(frozen=True, eq=False)
class ConstantOperand:
    """A value that meets others, and is the same for every clean image, or all but the same.

    Attributes:
        tensor: its name.
        value: what it is, on one image or on the fixed batch.
        apart: how far any one of its values moves on clean images; 0 where none does.
        readers: places among the model's nodes of those where it meets a value that changes.
        branch: places of the nodes that serve it alone, in running order.
        ways: names of what those compute from the pixels, or are given, the operand's own first.
        bypass: whether all that feeds the branch is pixels, before any layer with weights, and what
            it meets has passed one: a way around the network.
        said: how a message names it.
    """

    tensor: str
    value: AnyArray
    apart: float
    readers: tuple[int, ...]
    branch: tuple[int, ...]
    ways: tuple[str, ...]
    bypass: bool
    said: str

    @property
    def exact(self) -> bool:
        """Whether it is the same bit by bit."""
        return self.apart == 0


def folded(
    proto: onnx.ModelProto, operands: Sequence[ConstantOperand], image: str, batch: int | None
) -> onnx.ModelProto:
    """Returns the model without what computes the operands; it stays as it is.

    Args:
        proto: the model.
        operands: of `constant_operands`.
        image: name of the image input.
        batch: what the graph fixes.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    nodes = list(changed.graph.node)
    before: dict[int, list[onnx.NodeProto]] = {}
    taken = {name for node in nodes for name in (*node.input, *node.output)}
    for operand in operands:
        constant = unused(f"{operand.tensor}/constant", taken)
        changed.graph.initializer.append(_stored(operand.value, constant, proto))
        for place in operand.readers:
            reader, given = nodes[place], constant
            if batch is None and reader.op_type not in _BROADCAST and operand.value.ndim:
                given = unused(f"{constant}/for_all", taken)
                added, sizes = _for_all_images(image, constant, given, operand.value, taken)
                before.setdefault(place, []).extend(added)
                changed.graph.initializer.extend(sizes)
            for position, name in enumerate(reader.input):
                if name == operand.tensor:
                    reader.input[position] = given
    # Of IR version 3 weights are inputs as well, and those that go would be asked for.
    weights = {tensor.name for tensor in changed.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    changed.ir_version = max(changed.ir_version, 4)
    del changed.graph.input[:]
    changed.graph.input.extend(inputs)
    ordered = [node for place, own in enumerate(nodes) for node in (*before.get(place, ()), own)]
    del changed.graph.node[:]
    changed.graph.node.extend(ordered)
    return without_dead_ends(changed)


def _stored(value: AnyArray, name: str, proto: onnx.ModelProto) -> onnx.TensorProto:
    """A weight of the model's own type: bfloat16 models were run in float32."""
    if value.dtype == np.float32 and in_float32(proto) is not proto:
        kind = onnx.TensorProto.BFLOAT16
        return onnx.helper.make_tensor(name, kind, value.shape, value.ravel())
    return onnx.numpy_helper.from_array(value, name)


def without_dead_ends(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same model, changed in place, without nodes and weights that no output needs."""
    graph = proto.graph
    wanted = {value.name for value in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(list(graph.node)):
        if wanted & set(node.output):
            kept.append(node)
            wanted |= _read_by(node)
    # Those that are left are copied before the field that holds them is emptied.
    nodes = [_copy(node) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(nodes)
    for field in (graph.initializer, graph.value_info):
        for place in reversed(range(len(field))):
            if field[place].name not in wanted:
                del field[place]
    return proto


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _read_by(node: onnx.NodeProto) -> set[str]:
    inner = (
        name
        for attribute in node.attribute
        for graph in (attribute.g, *attribute.graphs)
        for one in graph.node
        for name in _read_by(one)
    )
    return {*node.input, *inner} - {""}


def _for_all_images(
    image: str, constant: str, given: str, value: AnyArray, taken: set[str]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """What repeats a constant of one image for as many as come."""
    names = {
        part: unused(f"{given}/{part}", taken) for part in ("shape", "first", "images", "sizes")
    }
    rest, shape = unused(f"{given}/rest", taken), np.array(value.shape[1:], np.int64)
    first = onnx.numpy_helper.from_array(np.array([0], np.int64), names["first"])
    make = onnx.helper.make_node
    nodes = [
        make("Shape", [image], [names["shape"]]),
        make("Gather", [names["shape"], names["first"]], [names["images"]], axis=0),
        make("Concat", [names["images"], rest], [names["sizes"]], axis=0),
        make("Expand", [constant, names["sizes"]], [given]),
    ]
    return nodes, [first, onnx.numpy_helper.from_array(shape, rest)]


def unused(name: str, taken: set[str]) -> str:
    """A name like this one that is not taken; it is from then on."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
