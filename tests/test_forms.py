"""The commands on models of other forms than (N, C, H, W) float32 with a free batch."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.graphs import (
    NHWC,
    NHWC_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    TRANSFORMER,
    TRANSFORMER_SHAPES,
    classifier,
    saved,
)

from hardener.cli import run


def _float16(model: onnx.ModelProto) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            narrow = onnx.numpy_helper.from_array(values.astype(np.float16), tensor.name)
            tensor.CopyFrom(narrow)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    return model


def _models() -> dict[str, onnx.ModelProto]:
    in_fours = NHWC.replace("float[N,", "float[4,")
    return {
        "NHWC in batches of four": classifier(in_fours, dict(NHWC_SHAPES)),
        "float16": _float16(classifier(PLAIN, dict(PLAIN_SHAPES))),
        "transformer": classifier(TRANSFORMER, dict(TRANSFORMER_SHAPES)),
    }


@pytest.mark.parametrize("form", ["NHWC in batches of four", "float16", "transformer"])
def test_scan_prune_and_bench_work_on(form: str, tmp_path: Path) -> None:
    model = saved(_models()[form], tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (201, 8, 8, 3), dtype=np.uint8)
    data = tmp_path / "d.npz"
    np.savez(data, images=pixels, labels=np.arange(201) % 5)
    folder, hardened, report = tmp_path / "scan", tmp_path / "h.onnx", tmp_path / "b.json"
    assert run(["scan", str(model), "--data", str(data), "-o", str(folder), "--quiet"]) == 3
    scanned = json.loads((folder / "scan.json").read_text())
    assert len(scanned["channels"]) == scanned["layer"]["channels"]
    assert any("lead around" in reason for reason in scanned["reasons"]) == (form == "transformer")
    arguments = ["prune", str(model), "--scan", str(folder), "--data", str(data), "--force"]
    middle = np.median([channel["gap"] for channel in scanned["channels"]])
    arguments += [f"--threshold={middle}", "--rewrite", "mask", "-o", str(hardened), "--quiet"]
    assert run(arguments) == 0
    written = json.loads(hardened.with_suffix(".json").read_text())
    assert 0 < len(written["channels"]) < scanned["layer"]["channels"]
    assert run(
        ["bench", str(model), str(hardened), "--data", str(data), "-o", str(report), "--quiet"]
    ) == 0  # fmt: skip
    before, after = json.loads(report.read_text())["models"]
    assert before["accuracy"]["n"] == after["accuracy"]["n"] == 201
    expected = {"NHWC in batches of four": [4]}.get(form, [1, 256])
    assert [row["batch_size"] for row in after["latency"]] == expected


def test_naming_every_channel_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    named = ["prune", str(model), "--channels", "0,1,2,3,4,5", "-o", str(tmp_path / "h.onnx")]
    assert run(named) == 2
    assert "the same of every image" in capsys.readouterr().err


def test_prune_takes_the_preprocessing_that_the_scan_was_given(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(classifier(PLAIN, dict(PLAIN_SHAPES)), path)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 8, 8, 3), dtype=np.uint8)
    data, folder = tmp_path / "d.npz", tmp_path / "scan"
    np.savez(data, images=pixels, labels=np.arange(120) % 5)
    scan = ["scan", str(path), "--data", str(data), "-o", str(folder), "--mean", ".5"]
    assert run([*scan, "--std", ".25", "--quiet"]) == 3
    pruned = ["prune", str(path), "--scan", str(folder), "--data", str(data), "--force", "--quiet"]
    pruned += ["--threshold", "0", "-o", str(tmp_path / "h.onnx")]
    assert run(pruned) == 0
