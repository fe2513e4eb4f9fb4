"""A model without the values of its large weights, for what needs the graph and its types alone."""

from typing import TypeVar

import onnx
from google.protobuf.message import Message

_Message = TypeVar("_Message", bound=Message)
_SMALL_BYTES = 1 << 16


def weightless(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy whose large initializers are inputs of the same name, type and shape.

    It passes through serialisation quickly and whatever the size of the model, ONNX's checker
    takes it, and it still holds the small constants that shapes depend on.
    """
    bare = without_weights(proto)
    graph = bare.graph
    declared = {value.name for value in graph.input}
    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) <= _SMALL_BYTES and tensor.ByteSize() <= _SMALL_BYTES:
            graph.initializer.append(tensor)
        elif tensor.name not in declared:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return bare


def without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy of everything but the initializers."""
    bare = _copied(proto, but="graph")
    bare.graph.CopyFrom(_copied(proto.graph, but="initializer"))
    return bare


def _copied(message: _Message, but: str) -> _Message:
    copy = type(message)()
    for field, value in message.ListFields():
        if field.name == but:
            continue
        if field.is_repeated:
            getattr(copy, field.name).extend(value)
        elif field.type == field.TYPE_MESSAGE:
            getattr(copy, field.name).CopyFrom(value)
        else:
            setattr(copy, field.name, value)
    return copy
