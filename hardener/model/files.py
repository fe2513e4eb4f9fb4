"""ONNX files: read with suspicion, written whole."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import (
    ExternalDataInfo,
    load_external_data_for_model,
    uses_external_data,
)

from hardener.data.preprocessing import preprocessing_fields
from hardener.errors import DataError, ModelError
from hardener.files import sha256_of, write_bytes

LARGEST_MODEL_BYTES = (2 << 30) - 1

PREPROCESSING_KEY = "hardener.preprocessing"
CLASS_NAMES_KEY = "hardener.class_names"
PLAN_KEY = "hardener.plan"
SOURCE_KEY = "hardener.source_sha256"
VERSION_KEY = "hardener.version"


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A checked ONNX model in memory.

    Attributes:
        path: where it was read from.
        proto: the model, weights included; never changed in place.
        sha256: digest of the file, together with its external data where it has any.
        external: the files of that external data.
    """

    path: Path
    proto: onnx.ModelProto
    sha256: str
    external: tuple[Path, ...] = ()

    @property
    def metadata(self) -> dict[str, str]:
        """The model's metadata properties."""
        return {item.key: item.value for item in self.proto.metadata_props}

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Class names in label order, where the metadata holds them."""
        if CLASS_NAMES_KEY not in self.metadata:
            return None
        try:
            names = json.loads(self.metadata[CLASS_NAMES_KEY])
        except (ValueError, RecursionError):
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ModelError(f"{self.path}: metadata {CLASS_NAMES_KEY} is not a list of names")
        return tuple(names)

    @property
    def preprocessing_fields(self) -> dict[str, tuple[float, ...]]:
        """Fields `size`, `mean`, `std` that the metadata holds; empty where it holds none."""
        if PREPROCESSING_KEY not in self.metadata:
            return {}
        try:
            return preprocessing_fields(json.loads(self.metadata[PREPROCESSING_KEY]))
        except (ValueError, OverflowError, RecursionError, DataError) as error:
            raise ModelError(f"{self.path}: metadata {PREPROCESSING_KEY}: {error}") from error


def load_model(path: Path) -> OnnxModel:
    """Reads and checks an ONNX file.

    Raises:
        ModelError: the file is missing, is no valid ONNX model, is over 2 GiB, or names external
            data outside its own folder.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist or is no file: name an ONNX model")
    if path.stat().st_size > LARGEST_MODEL_BYTES:
        raise ModelError(f"{path} is over 2 GiB, the limit of an ONNX file")
    content = path.read_bytes()
    try:
        proto = onnx.load_model_from_string(content)
    except (DecodeError, ValueError) as error:
        raise ModelError(f"{path} is no ONNX model: {_first_line(error)}") from error
    digest = hashlib.sha256(content)
    if not proto.graph.node or not any(o.domain in ("", "ai.onnx") for o in proto.opset_import):
        raise ModelError(f"{path} is no ONNX model: it holds no graph of standard operators")
    try:
        external = tuple(_external_files(path, proto))
        for data_file in external:
            digest.update(sha256_of(data_file).encode())
        load_external_data_for_model(proto, str(path.parent))
        onnx.checker.check_model(proto)
    except ModelError:
        raise
    except Exception as error:  # a damaged model makes onnx's native code raise anything
        raise ModelError(f"{path} fails the ONNX checker: {_first_line(error)}") from error
    return OnnxModel(path, proto, digest.hexdigest(), external)


def save_model(proto: onnx.ModelProto, path: Path) -> str:
    """Checks a model, writes it through a temporary file and a rename.

    Returns:
        The SHA-256 digest of what was written.

    Raises:
        ModelError: the model fails the ONNX checker or is too large for one file.
    """
    try:
        onnx.checker.check_model(proto, full_check=True)
        content = proto.SerializeToString(deterministic=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"the new model fails the ONNX checker: {_first_line(error)}") from error
    except ValueError as error:
        raise ModelError(f"the new model does not fit one file: {_first_line(error)}") from error
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def with_metadata(proto: onnx.ModelProto, properties: Mapping[str, str]) -> onnx.ModelProto:
    """Returns a copy of the model with metadata properties added or replaced."""
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    merged = {item.key: item.value for item in proto.metadata_props} | dict(properties)
    onnx.helper.set_model_props(changed, merged)
    return changed


def _external_files(path: Path, proto: onnx.ModelProto) -> Iterator[Path]:
    folder = path.parent.resolve()
    locations = {
        ExternalDataInfo(tensor).location
        for tensor in _tensors(proto.graph)
        if uses_external_data(tensor)
    }
    for location in sorted(locations):
        data_file = (folder / location).resolve()
        if (
            PurePosixPath(location).is_absolute()
            or not data_file.is_relative_to(folder)
            or not data_file.is_file()
        ):
            raise ModelError(
                f"{path} keeps weights in {location!r}, which is no file in the model's own "
                "folder: put the external data beside the model"
            )
        if data_file.stat().st_size > LARGEST_MODEL_BYTES:
            raise ModelError(f"{path}: the external data {location!r} is over 2 GiB")
        yield data_file


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("g"):
                yield from _tensors(attribute.g)
            for subgraph in attribute.graphs:
                yield from _tensors(subgraph)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
