"""Models from strangers: each is exit code 2 and one line, in bounded time, nothing written."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.graphs import PLAIN, PLAIN_SHAPES, classifier

from hardener import files as reading
from hardener.cli import run
from hardener.documents.prune import PruneResult
from hardener.errors import ModelError
from hardener.files import sha256_of
from hardener.model import files
from hardener.model.files import external_files, load_model
from hardener.model.rewriting import rewritten

Change = Callable[[onnx.ModelProto], object]


def _weight(model: onnx.ModelProto, name: str = "w1") -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _external(model: onnx.ModelProto, **entries: str) -> None:
    tensor = _weight(model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value


def _dims(model: onnx.ModelProto, *dims: int) -> None:
    _weight(model).ClearField("dims")
    _weight(model).dims.extend(dims)


def _cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "feature"


def _renamed(model: onnx.ModelProto, **what: str) -> None:
    for key, value in what.items():
        setattr(model.graph.node[1], key, value)


def _image(model: onnx.ModelProto, kind: int, *dims: int | str) -> None:
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", kind, dims))


def _typed(model: onnx.ModelProto, kind: int) -> None:
    _weight(model).data_type = kind


CHANGES: dict[str, tuple[Change, str]] = {
    "external data above": (lambda m: _external(m, location="../w.bin"), "in the model's own"),
    "external data absolute": (lambda m: _external(m, location="/etc/passwd"), "no file in the"),
    "external data by a link": (lambda m: _external(m, location="link.bin"), "no file in the"),
    "external data in a device": (lambda m: _external(m, location="zero.bin"), "no file in the"),
    "external data in a pipe": (lambda m: _external(m, location="pipe.bin"), "no file in the"),
    "external data nowhere": (_external, "no file in the"),
    "external data with a null": (lambda m: _external(m, location="w\0.bin"), "no file in the"),
    "external data beyond the end": (
        lambda m: _external(m, location="w.bin", offset="4"),
        "does not hold the 162 values",
    ),
    "external data longer than its file": (
        lambda m: _external(m, location="w.bin", length="649"),
        "lies beyond the end",
    ),
    "external data at a huge offset": (
        lambda m: _external(m, location="w.bin", offset=str(2**62), length="648"),
        "lies beyond the end",
    ),
    "external data at a negative offset": (
        lambda m: _external(m, location="w.bin", offset="-8"),
        "no readable place",
    ),
    "external data at an offset of words": (
        lambda m: _external(m, location="w.bin", offset="x"),
        "no readable place",
    ),
    "external data too short": (
        lambda m: _external(m, location="w.bin", length="644"),
        "does not hold the 162 values",
    ),
    "dimensions of 2^40": (lambda m: _dims(m, 2**40), "does not hold the 1099511627776 values"),
    "dimensions that overflow": (lambda m: _dims(m, 2**32, 2**32, 2**32), "does not hold the"),
    "dimensions below zero": (lambda m: _dims(m, -6, -27), "no known type and dimensions"),
    "values missing": (lambda m: _weight(m).ClearField("raw_data"), "does not hold the 162"),
    "values cut short": (
        lambda m: setattr(_weight(m), "raw_data", _weight(m).raw_data[:-1]),
        "does not hold the 162 values",
    ),
    "weight of no type": (lambda m: _typed(m, 0), "no known type"),
    "weight of an unknown type": (lambda m: _typed(m, 99), "no known type"),
    "weight of another type": (lambda m: _typed(m, TensorProto.DOUBLE), "does not hold the 162"),
    "cycle": (_cycle, "fails the ONNX checker"),
    "input without a type": (
        lambda m: m.graph.input[0].ClearField("type"),
        "fails the ONNX checker",
    ),
    "output of no type": (lambda m: m.graph.output[0].ClearField("type"), "fails the ONNX"),
    "unknown operator": (lambda m: _renamed(m, op_type="Backdoor"), "fails the ONNX checker"),
    "unknown domain": (lambda m: _renamed(m, domain="evil"), "fails the ONNX checker"),
    "control characters": (
        lambda m: _renamed(m, op_type="\x1b[2J\nverdict: clean"),
        "fails the ONNX checker",
    ),
    "no nodes": (lambda m: m.graph.ClearField("node"), "is no ONNX model"),
    "no opset": (lambda m: m.ClearField("opset_import"), "is no ONNX model"),
    "two inputs": (
        lambda m: m.graph.input.append(helper.make_tensor_value_info("y", 1, [1])),
        "takes 2 inputs",
    ),
    "text for images": (lambda m: _image(m, TensorProto.STRING, 1, 3, 8, 8), "STRING"),
    "a sequence for images": (
        lambda m: m.graph.input[0].CopyFrom(
            helper.make_tensor_sequence_value_info("x", 1, [1, 3, 8, 8])
        ),
        "",
    ),
    "sound for images": (lambda m: _image(m, TensorProto.FLOAT, "N", 16000), "not (N, C, H, W)"),
    "images of 2^40 pixels": (
        lambda m: _image(m, TensorProto.FLOAT, "N", 3, 2**40, 2**40),
        "pixels",
    ),
    "a batch of 2^40": (lambda m: _image(m, TensorProto.FLOAT, 2**40, 3, 8, 8), "images of"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_hostile_model_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(bytes(648))
    (folder / "w.bin").write_bytes(bytes(648))
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    (folder / "zero.bin").symlink_to("/dev/zero")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.bin")
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    change, message = CHANGES[name]
    change(model)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    before = sorted(tmp_path.rglob("*"))
    arguments = ["prune", str(folder / "m.onnx"), "--channels", "1"]
    assert run([*arguments, "-o", str(folder / "h.onnx")]) == 2
    captured = capsys.readouterr()
    assert (captured.out, len(captured.err.splitlines())) == ("", 1)
    assert message in captured.err
    assert "\x1b" not in captured.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model_is_refused(tmp_path: Path, at: float) -> None:
    content = classifier(PLAIN, dict(PLAIN_SHAPES)).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(content[: int(at * len(content))])
    with pytest.raises(ModelError):
        load_model(tmp_path / "m.onnx")


def test_a_weight_in_a_branch_cannot_read_elsewhere(tmp_path: Path) -> None:
    hidden = helper.make_tensor("hidden", TensorProto.FLOAT, [1], [0.0])
    hidden.ClearField("float_data")
    onnx.external_data_helper.set_external_data(
        _rawed(hidden), "../w.bin"
    )  # a tensor in a Constant in a branch
    inside = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=hidden)], "inside", [], []
    )
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.graph.node.append(helper.make_node("If", ["x"], [], then_branch=inside))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="no file in the model's own folder"):
        external_files(tmp_path / "m.onnx")


def test_a_sparse_weight_cannot_read_elsewhere(tmp_path: Path) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    sparse = model.graph.sparse_initializer.add()
    sparse.values.name = "s"
    sparse.values.data_type = TensorProto.FLOAT
    sparse.values.dims.append(1)
    onnx.external_data_helper.set_external_data(_rawed(sparse.values), "/etc/passwd")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="has sparse weights"):
        load_model(tmp_path / "m.onnx")


def test_every_file_is_read_once_and_the_digest_is_of_those_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    first = _weight(model).raw_data
    (tmp_path / "w.bin").write_bytes(first)
    _external(model, location="w.bin")
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    digest = load_model(path).sha256
    seen: list[Path] = []

    def read_then_swapped(file: Path, most_bytes: int) -> bytes:
        content = reading.read_regular(file, most_bytes)
        seen.append(file)
        file.write_bytes(bytes(len(content)))
        return content

    monkeypatch.setattr(files, "read_regular", read_then_swapped)
    loaded = load_model(path)
    assert seen == [path, (tmp_path / "w.bin").resolve()]
    assert loaded.sha256 == digest
    assert _weight(loaded.proto).raw_data == first


def test_a_model_swapped_after_it_was_read_keeps_its_digest_in_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.onnx"
    onnx.save_model(classifier(PLAIN, dict(PLAIN_SHAPES)), path)
    digest = sha256_of(path)

    def swapping(*arguments: object) -> onnx.ModelProto:
        onnx.save_model(classifier(PLAIN, dict(PLAIN_SHAPES), seed=9), path)
        return rewritten(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("hardener.pruning.named.rewritten", swapping)
    assert run(["prune", str(path), "--channels", "1", "-o", str(tmp_path / "h.onnx")]) == 0
    assert sha256_of(path) != digest
    assert PruneResult.read(tmp_path / "h.json").model.sha256 == digest
    hardened = onnx.load(tmp_path / "h.onnx")
    original = classifier(PLAIN, dict(PLAIN_SHAPES))
    kept = onnx.numpy_helper.to_array(_weight(original, "b2"))
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(_weight(hardened, "b2")), kept)


@pytest.mark.parametrize("count", [1000, 20_000])
def test_long_chains_of_nodes_end_soon(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    last = model.graph.node.pop()
    names = [f"d{number}" for number in range(count)]
    for source, target in zip(["d", *names], names, strict=False):
        model.graph.node.append(helper.make_node("Identity", [source], [target]))
    last.input[0] = names[-1]
    model.graph.node.append(last)
    onnx.save_model(model, tmp_path / "m.onnx")
    code = run(
        ["prune", str(tmp_path / "m.onnx"), "--channels", "1", "-o", str(tmp_path / "h.onnx")]
    )
    assert code == (0 if count == 1000 else 2), capsys.readouterr().err


def _rawed(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """`set_external_data` takes only tensors that hold raw data."""
    tensor.raw_data = bytes(4)
    return tensor
