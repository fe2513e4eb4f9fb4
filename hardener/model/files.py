"""ONNX files, read with suspicion."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError, Message
from onnx.external_data_helper import uses_external_data

from hardener.data.preprocessing import preprocessing_fields
from hardener.errors import DataError, ModelError
from hardener.files import read_regular, reason
from hardener.model.external_data import check_model
from hardener.model.running_order import in_running_order

LARGEST_MODEL_BYTES = (2 << 30) - 1
LARGEST_WEIGHTS_BYTES = 16 << 30
MOST_NODES = 20_000

PREPROCESSING_KEY = "hardener.preprocessing"
CLASS_NAMES_KEY = "hardener.class_names"
PLAN_KEY = "hardener.plan"
SOURCE_KEY = "hardener.source_sha256"
VERSION_KEY = "hardener.version"

_T = onnx.TensorProto
_CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors")
_COMPLEX = frozenset({_T.COMPLEX64, _T.COMPLEX128})
_BITS: dict[int, int] = {
    **dict.fromkeys((_T.INT2, _T.UINT2), 2),
    **dict.fromkeys((_T.FLOAT4E2M1, _T.INT4, _T.UINT4), 4),
    **dict.fromkeys((_T.BOOL, _T.INT8, _T.UINT8, _T.FLOAT8E8M0), 8),
    **dict.fromkeys((_T.FLOAT8E4M3FN, _T.FLOAT8E4M3FNUZ), 8),
    **dict.fromkeys((_T.FLOAT8E5M2, _T.FLOAT8E5M2FNUZ), 8),
    **dict.fromkeys((_T.BFLOAT16, _T.FLOAT16, _T.INT16, _T.UINT16), 16),
    **dict.fromkeys((_T.FLOAT, _T.INT32, _T.UINT32), 32),
    **dict.fromkeys((_T.COMPLEX64, _T.DOUBLE, _T.INT64, _T.UINT64), 64),
    _T.COMPLEX128: 128,
}


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A checked ONNX model in memory.

    Attributes:
        path: where it was read from.
        proto: the model, weights included; never changed in place.
        sha256: digest of the file, together with its external data where it has any.
        external: the files of that external data.
        shapes: of every tensor, as observed in one run (`quarantine`); empty before that.
    """

    path: Path
    proto: onnx.ModelProto
    sha256: str
    external: tuple[Path, ...] = ()
    shapes: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)

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
        if not isinstance(names, list) or not all(_is_text(name) for name in names):
            raise ModelError(f"{self.path}: metadata {CLASS_NAMES_KEY} is not a list of names")
        if len(set(names)) < len(names):
            raise ModelError(f"{self.path}: metadata {CLASS_NAMES_KEY} names a class twice")
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

    @property
    def preferred_size(self) -> tuple[int, int] | None:
        """Height and width that the metadata asks for, where it does."""
        size = self.preprocessing_fields.get("size")
        return None if size is None else (int(size[0]), int(size[-1]))


def load_model(path: Path) -> OnnxModel:
    """Reads and checks an ONNX file.

    The digest is that of the bytes that were used: each file is read once.

    Raises:
        ModelError: the file is missing, is no valid ONNX model, is over 2 GiB (its external data
            over 16 GiB), or names external data outside its own folder.
    """
    proto, digest = _parsed(path)
    external = _external_tensors(path, proto)
    try:
        for data_file, tensors in external.items():
            digest.update(_fill(path, data_file, tensors).encode())
        for tensor in _tensors(proto):
            _require_whole(path, tensor)
        check_model(in_running_order(proto))
    except ModelError:
        raise
    except Exception as error:  # a damaged model makes onnx's native code raise anything
        raise ModelError(f"{path} fails the ONNX checker: {first_line(error)}") from error
    return OnnxModel(path, proto, digest.hexdigest(), tuple(external))


def external_files(path: Path) -> tuple[Path, ...]:
    """The files in which a model keeps its weights, itself apart; only its graph is read.

    Raises:
        ModelError: as `load_model` does.
    """
    return tuple(_external_tensors(path, _parsed(path)[0]))


def _parsed(path: Path) -> tuple[onnx.ModelProto, "hashlib._Hash"]:
    """The model as its file has it, and the digest so far."""
    try:
        content = read_regular(path, LARGEST_MODEL_BYTES)
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist: name an ONNX model") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be read ({reason(error)}): name an ONNX model of at most 2 GiB"
        ) from error
    try:
        proto = onnx.load_model_from_string(content)
        _require_texts(proto)
    except (DecodeError, ValueError) as error:
        if path.suffix in _CHECKPOINTS:
            raise ModelError(
                f"{path} looks like a PyTorch checkpoint: make an ONNX model of it with harden "
                "export first"
            ) from error
        raise ModelError(f"{path} is no ONNX model: {first_line(error)}") from error
    if not proto.graph.node or not any(o.domain in ("", "ai.onnx") for o in proto.opset_import):
        raise ModelError(f"{path} is no ONNX model: it holds no graph of standard operators")
    if proto.graph.sparse_initializer:
        raise ModelError(f"{path} has sparse weights: store them as dense ones")
    nodes = sum(1 for _ in _nodes(proto.graph))
    if nodes > MOST_NODES:
        raise ModelError(f"{path} has {nodes} nodes: at most {MOST_NODES} are supported")
    return proto, hashlib.sha256(content)


def _external_tensors(path: Path, proto: onnx.ModelProto) -> dict[Path, list[onnx.TensorProto]]:
    """External files in order of their names, and the tensors that each is to fill."""
    folder = path.parent.resolve()
    by_location: dict[str, list[onnx.TensorProto]] = {}
    for tensor in _tensors(proto):
        if uses_external_data(tensor):
            entries = {entry.key: entry.value for entry in tensor.external_data}
            by_location.setdefault(entries.get("location", ""), []).append(tensor)
    found: dict[Path, list[onnx.TensorProto]] = {}
    for location in sorted(by_location):
        data_file = None if "\0" in location else (folder / location).resolve()
        if (
            data_file is None
            or PurePosixPath(location).is_absolute()
            or not data_file.is_relative_to(folder)
            or not data_file.is_file()
        ):
            raise ModelError(
                f"{path} keeps weights in {location!r}, which is no file in the model's own "
                "folder: put the external data beside the model"
            )
        found.setdefault(data_file, []).extend(by_location[location])
    return found


def _fill(path: Path, data_file: Path, tensors: list[onnx.TensorProto]) -> str:
    """Puts the file's bytes into the tensors; returns the file's digest."""
    try:
        content = memoryview(read_regular(data_file, LARGEST_WEIGHTS_BYTES))
    except OSError as error:
        raise ModelError(
            f"{path}: the external data {data_file.name!r} cannot be read: {reason(error)}"
        ) from error
    filled = 0
    for tensor in tensors:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        numbers = [entries.get("offset", "0"), entries.get("length", "")]
        if not all(text.isascii() and (text.isdecimal() or not text) for text in numbers):
            raise ModelError(f"{path}: weight {tensor.name!r} has no readable place in its file")
        start = int(numbers[0] or "0")
        end = start + int(numbers[1]) if numbers[1] else len(content)
        filled += end - start
        if end > len(content) or start > end:
            raise ModelError(
                f"{path}: weight {tensor.name!r} lies beyond the end of {data_file.name!r}"
            )
        if filled > LARGEST_WEIGHTS_BYTES:
            raise ModelError(f"{path}: its weights are over 16 GiB in all, the limit here")
        tensor.raw_data = bytes(content[start:end])
        tensor.data_location = onnx.TensorProto.DEFAULT
        del tensor.external_data[:]
    return hashlib.sha256(content).hexdigest()


def _require_whole(path: Path, tensor: onnx.TensorProto) -> None:
    """Refuses a tensor that holds more or fewer values than its dimensions say."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return
    count = math.prod(tensor.dims)
    bits = _BITS.get(tensor.data_type)
    if min(tensor.dims, default=0) < 0 or bits is None:
        raise ModelError(f"{path}: weight {tensor.name!r} has no known type and dimensions")
    if tensor.HasField("raw_data"):
        whole = len(tensor.raw_data) == (count * bits + 7) // 8
    else:
        values = sum(
            len(field)
            for field in (
                tensor.float_data, tensor.int32_data, tensor.int64_data,
                tensor.double_data, tensor.uint64_data,
            )
        )  # fmt: skip
        parts = 2 if tensor.data_type in _COMPLEX else 1
        packed = 8 // bits if bits < 8 else 1
        whole = values == -(-count * parts // packed)
    if not whole:
        raise ModelError(
            f"{path}: weight {tensor.name!r} does not hold the {count} values that its "
            "dimensions say"
        )


def _require_texts(message: Message) -> None:
    """Raises ValueError where a name is no UTF-8: protobuf then gives bytes for a string."""
    for field, value in message.ListFields():
        parts = value if field.is_repeated else (value,)
        if field.type == field.TYPE_MESSAGE:
            for part in parts:
                _require_texts(part)
        elif field.type == field.TYPE_STRING:
            for part in parts:
                if not isinstance(part, str):
                    raise ValueError(f"the {field.name} {part!r} is no UTF-8")


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor anywhere in a message: weights, attributes, subgraphs, functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if field.is_repeated else (value,):
                yield from _tensors(part)


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _nodes(subgraph)


def _is_text(value: object) -> bool:
    """Whether it is a string that can be printed: JSON allows lone surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def first_line(error: Exception) -> str:
    """What native code says before it goes into details."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
