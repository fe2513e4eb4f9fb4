"""ONNX files, checked and written whole."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import EncodeError

from hardener.errors import ModelError
from hardener.files import write_bytes
from hardener.model.external_data import check_model, fits_one_file, with_external_data
from hardener.model.files import first_line
from hardener.model.sessions import LARGEST_MESSAGE_BYTES


def model_bytes(proto: onnx.ModelProto) -> bytes:
    """Checks a model and returns the content of its file.

    Raises:
        ModelError: the model fails the ONNX checker or is too large for one file.
    """
    try:
        check_model(proto, full=True)
        content: bytes = proto.SerializeToString(deterministic=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the new model fails the ONNX checker: {first_line(error)}") from error
    except (ValueError, EncodeError) as error:
        raise ModelError(f"the new model does not fit one file: {first_line(error)}") from error
    return content


def model_content(
    proto: onnx.ModelProto, stem: str, largest_message: int = LARGEST_MESSAGE_BYTES
) -> tuple[bytes, dict[str, bytes], str]:
    """Checks a model and returns what its files hold.

    Args:
        proto: the model.
        stem: how the name of its external data begins, where it needs any.
        largest_message: bytes of weights that still go into the model's own file.

    Returns:
        The model's file, its external data by name (none under 2 GiB), and the digest that
        `load_model` gives.

    Raises:
        ModelError: the model fails the ONNX checker.
    """
    if fits_one_file(proto, largest_message):
        content = model_bytes(proto)
        return content, {}, hashlib.sha256(content).hexdigest()
    try:
        check_model(proto, full=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the new model fails the ONNX checker: {first_line(error)}") from error
    bare, name, data = with_external_data(proto, stem)
    content = bare.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content)
    digest.update(hashlib.sha256(data).hexdigest().encode())
    return content, {name: data}, digest.hexdigest()


def save_model(proto: onnx.ModelProto, path: Path) -> str:
    """Checks a model, writes it through a temporary file and a rename.

    Returns:
        The SHA-256 digest of what was written.

    Raises:
        ModelError: the model fails the ONNX checker or is too large for one file.
    """
    content = model_bytes(proto)
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def with_metadata(proto: onnx.ModelProto, properties: Mapping[str, str]) -> onnx.ModelProto:
    """Returns a copy of the model with metadata properties added or replaced."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    merged = {item.key: item.value for item in proto.metadata_props} | dict(properties)
    onnx.helper.set_model_props(changed, merged)
    return changed
