"""A model and a scan that are open may be given in place of their files, and are no other then."""

import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier
from support.small import scanned_and_labelled

import hardener
from hardener.documents.scan import ScanResult
from hardener.errors import DataError, ModelError, UsageError
from hardener.model.classifier import open_classifier
from hardener.model.files import SOURCE_KEY

ANY_SIZE = PLAIN.replace("float[N,3,8,8] x", "float[N,3,H,W] x")


def _saved(text: str, path: Path, features: int = 96, source: str = "") -> Path:
    model = classifier(text, {**PLAIN_SHAPES, "w2": (5, features)})
    onnx.helper.set_model_props(model, {SOURCE_KEY: source} if source else {})
    onnx.save(model, path)
    return path


def test_an_open_model_is_examined_anew_for_another_size_and_must_be_the_same(
    tmp_path: Path,
) -> None:
    pooled = "MaxPool<kernel_shape=[2,2], strides=[2,2]>"
    averaged = ANY_SIZE.replace(pooled, "GlobalAveragePool")
    path = _saved(averaged, tmp_path / "m.onnx", 6)
    opened = hardener.open_model(path, [{"size": (8.0, 8.0)}])
    plain = {"mean": (0.0,), "std": (1.0,)}
    assert open_classifier(opened, [{**plain, "size": (8.0,)}]).model is opened
    _saved(averaged.replace("Relu(c)", "Abs(c)"), path, 6)
    with pytest.raises(ModelError, match=r"changed since it was opened"):
        open_classifier(opened, [{**plain, "size": (4.0,)}])


def test_the_size_that_only_a_scan_knows_is_asked_for_by_name(tmp_path: Path) -> None:
    path = _saved(ANY_SIZE, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx does not run on 224×224 .*give --size"):
        hardener.open_model(path)
    assert hardener.open_model(path, (), {"size": (8.0, 8.0)}).shapes["x"][2:] == (8, 8)


def test_bench_takes_the_size_from_the_scan(tmp_path: Path) -> None:
    model, scan, data = scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path)
    del model
    free = _saved(ANY_SIZE, tmp_path / "free.onnx", source=_source(scan))
    result = hardener.bench([free], data, tmp_path / "b.json", scan=scan, provider="cpu")
    assert result.models[0].accuracy.n == 300


def _source(scan: Path) -> str:
    return ScanResult.read(scan / "scan.json").model.sha256


def test_a_scan_of_another_layer_is_refused(tmp_path: Path) -> None:
    model, scan, data = scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path)
    found = ScanResult.read(scan / "scan.json")
    layer = found.layer.model_copy(update={"channels": 5})
    found.model_copy(update={"layer": layer}).write(scan / "scan.json")
    with pytest.raises(DataError, match="another feature layer: scan again"):
        hardener.prune(model, scan, data, tmp_path / "h.onnx", provider="cpu")


def test_bench_of_one_open_model_that_is_no_list_says_so(tmp_path: Path) -> None:
    opened = hardener.open_model(_saved(PLAIN, tmp_path / "m.onnx"))
    with pytest.raises(UsageError, match="a list of files"):
        hardener.bench(opened, "d.npz", "b.json")  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell closes the streams")
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_stream_does_not_change_the_exit_code(closed: str, tmp_path: Path) -> None:
    _saved(PLAIN, tmp_path / "m.onnx")
    line = f"{sys.executable} -m hardener prune m.onnx --channels 0 -o h.onnx {closed}"
    environment = {**os.environ, "PYTHONPATH": str(Path(hardener.__file__).parents[1])}
    done = subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 0
    assert (tmp_path / "h.onnx").is_file()
    assert (tmp_path / "h.json").is_file()
