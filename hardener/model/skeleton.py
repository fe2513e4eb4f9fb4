"""A model without the values of its large weights, for what needs the graph and its types alone."""

import onnx

_SMALL_BYTES = 1 << 16


def skeleton(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy whose large initializers are inputs of the same name, type and shape.

    It passes through serialisation quickly and whatever the size of the model, ONNX's checker
    takes it, and it still holds the small constants that shapes depend on.
    """
    bare = onnx.ModelProto(
        ir_version=proto.ir_version,
        opset_import=proto.opset_import,
        functions=proto.functions,
        metadata_props=proto.metadata_props,
    )
    graph = bare.graph
    graph.name = proto.graph.name
    graph.node.extend(proto.graph.node)
    declared = {value.name for value in proto.graph.input}
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    graph.value_info.extend(proto.graph.value_info)
    graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) <= _SMALL_BYTES and tensor.ByteSize() <= _SMALL_BYTES:
            graph.initializer.append(tensor)
        elif tensor.name not in declared:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return bare
