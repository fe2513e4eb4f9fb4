"""onnxruntime sessions of models in memory, also of those that no single message can hold."""

from collections.abc import Sequence

import onnx
import onnxruntime as ort

from hardener.arrays import AnyArray
from hardener.model.weightless import without_weights

LARGEST_MESSAGE_BYTES = (2 << 30) - (64 << 20)
_LARGE_WEIGHT_BYTES = 1 << 20


def open_session(
    proto: onnx.ModelProto,
    options: ort.SessionOptions,
    providers: Sequence[str | tuple[str, dict[str, int]]],
    more: bytes = b"",
    largest_message: int = LARGEST_MESSAGE_BYTES,
) -> ort.InferenceSession:
    """Gives a model to onnxruntime; what it raises is not translated.

    protobuf holds 2 GiB in one message. The large weights of a model beyond that are handed over
    beside it.

    Args:
        proto: the model, weights included.
        options: of the session; weights are added to them where that is needed.
        providers: onnxruntime's names, with options where they have some, in order.
        more: a serialised model whose nodes and outputs are added to this one's: two serialised
            messages on end are their merger.
        largest_message: bytes of weights from which on they go beside the model.
    """
    kept: list[object] = []
    if weight_bytes(proto) > largest_message:
        proto, kept = _weights_apart(proto, options)
    content = proto.SerializeToString() + more
    session = ort.InferenceSession(content, options, providers=list(providers))
    session.hardener_weights = kept  # onnxruntime reads them where they lie, as long as it lives
    return session


def weight_bytes(proto: onnx.ModelProto) -> int:
    """Bytes of a model's weights."""
    return sum(len(tensor.raw_data) for tensor in proto.graph.initializer)


def _weights_apart(
    proto: onnx.ModelProto, options: ort.SessionOptions
) -> tuple[onnx.ModelProto, list[object]]:
    """The model without its large weights, and what has to be kept for the session."""
    bare = without_weights(proto)
    names: list[str] = []
    arrays: list[AnyArray] = []
    values: list[ort.OrtValue] = []
    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) < _LARGE_WEIGHT_BYTES:
            bare.graph.initializer.append(tensor)
            continue
        names.append(tensor.name)
        arrays.append(onnx.numpy_helper.to_array(tensor))
        value = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(arrays[-1], tensor.data_type)
        values.append(value)
        bare.graph.initializer.add(
            name=tensor.name,
            dims=tensor.dims,
            data_type=tensor.data_type,
            data_location=onnx.TensorProto.EXTERNAL,
            external_data=[onnx.StringStringEntryProto(key="location", value="beside")],
        )
    options.add_external_initializers(names, values)
    return bare, [*arrays, *values]
