"""Weights moved out of a model into a file of their own, for models over 2 GiB."""

import hashlib

import onnx

from hardener.model.sessions import LARGEST_MESSAGE_BYTES, weight_bytes
from hardener.model.weightless import weightless, without_weights

_LARGE_WEIGHT_BYTES = 1 << 10
_ALIGNMENT = 4096
_CHECKED_WHOLE_BYTES = 16 << 20


def fits_one_file(proto: onnx.ModelProto, largest_message: int = LARGEST_MESSAGE_BYTES) -> bool:
    """Whether a model with its weights fits one message of protobuf."""
    return weight_bytes(proto) <= largest_message


def check_model(proto: onnx.ModelProto, *, full: bool = False) -> None:
    """ONNX's own check; of the graph without its weights' values where those are many.

    Raises:
        Exception: whatever the checker raises.
    """
    checked = proto if fits_one_file(proto, _CHECKED_WHOLE_BYTES) else weightless(proto)
    onnx.checker.check_model(checked, full_check=full)


def with_external_data(proto: onnx.ModelProto, stem: str) -> tuple[onnx.ModelProto, str, bytes]:
    """Moves the weights into external data.

    Args:
        proto: the model.
        stem: how the file's name begins; a digest of the weights follows, so that a new model
            never points to an old one's weights.

    Returns:
        The model without those weights, the name of the file that it points to, and its content.
    """
    content = bytearray()
    bare = without_weights(proto)
    graph = bare.graph
    moved: list[onnx.TensorProto] = []
    for tensor in proto.graph.initializer:
        if len(tensor.raw_data) < _LARGE_WEIGHT_BYTES:
            graph.initializer.append(tensor)
            continue
        content.extend(bytes(-len(content) % _ALIGNMENT))
        place = {"offset": len(content), "length": len(tensor.raw_data)}
        content.extend(tensor.raw_data)
        entry = graph.initializer.add(
            name=tensor.name,
            dims=tensor.dims,
            data_type=tensor.data_type,
            data_location=onnx.TensorProto.EXTERNAL,
        )
        for key, value in place.items():
            entry.external_data.add(key=key, value=str(value))
        moved.append(entry)
    name = f"{stem}.{hashlib.sha256(content).hexdigest()[:16]}.data"
    for entry in moved:
        entry.external_data.add(key="location", value=name)
    return bare, name, bytes(content)
