"""A model without the values of its large weights, for what needs the graph and its types alone."""

import onnx

_SMALL_BYTES = 1 << 16


def skeleton(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy whose large initializers keep name, type and shape but no values.

    It passes through serialisation quickly and whatever the size of the model, and still holds
    the small constants that shapes depend on.
    """
    bare = onnx.ModelProto(
        ir_version=proto.ir_version, opset_import=proto.opset_import, functions=proto.functions
    )
    graph = bare.graph
    graph.name = proto.graph.name
    graph.node.extend(proto.graph.node)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    graph.value_info.extend(proto.graph.value_info)
    graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) <= _SMALL_BYTES and tensor.ByteSize() <= _SMALL_BYTES:
            graph.initializer.append(tensor)
        else:
            graph.initializer.add(
                name=tensor.name,
                dims=tensor.dims,
                data_type=tensor.data_type,
                data_location=onnx.TensorProto.EXTERNAL,
                external_data=[onnx.StringStringEntryProto(key="location", value="left out")],
            )
    return bare
