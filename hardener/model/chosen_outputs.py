"""A model that gives other tensors than it was written to give."""

import onnx


def with_outputs(proto: onnx.ModelProto, *tensors: str) -> onnx.ModelProto:
    """The same model with these tensors as its outputs, for onnxruntime alone.

    A name is enough: onnxruntime finds the type itself and leaves out what is not needed.
    """
    ending = onnx.ModelProto()
    ending.CopyFrom(proto)
    del ending.graph.output[:]
    ending.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    return ending
