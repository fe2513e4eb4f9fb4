"""bfloat16 models in float32, for execution providers that have no bfloat16 kernels.

Every bfloat16 number is a float32 number, so weights are exact; activations are then rounded less
often than on a processor that computes in bfloat16.
"""

import numpy as np
import onnx

_NARROW, _WIDE = onnx.TensorProto.BFLOAT16, onnx.TensorProto.FLOAT


def in_float32(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with float32 wherever it has bfloat16, or itself where it has none."""
    if not _has_bfloat16(proto):
        return proto
    wide = onnx.ModelProto()
    wide.CopyFrom(proto)
    for tensor in wide.graph.initializer:
        _widen(tensor)
    for value in (*wide.graph.input, *wide.graph.output, *wide.graph.value_info):
        if value.type.tensor_type.elem_type == _NARROW:
            value.type.tensor_type.elem_type = _WIDE
    for node in wide.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            if _type_in(attribute) == _NARROW:
                attribute.i = _WIDE
    return wide


def _has_bfloat16(proto: onnx.ModelProto) -> bool:
    values = (*proto.graph.input, *proto.graph.output)
    return (
        any(tensor.data_type == _NARROW for tensor in proto.graph.initializer)
        or any(value.type.tensor_type.elem_type == _NARROW for value in values)
        or any(
            _NARROW in (a.t.data_type, _type_in(a)) for n in proto.graph.node for a in n.attribute
        )
    )


def _type_in(attribute: onnx.AttributeProto) -> int:
    """The element type that an attribute names, if it names one."""
    return attribute.i if attribute.name in ("to", "dtype") else 0


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == _NARROW:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
