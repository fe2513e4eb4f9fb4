"""harden scan without --data, on real ONNX files."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, SQUEEZE, SQUEEZE_SHAPES, classifier, saved
from support.shares import even_sums, share_model, share_rows

import hardener
from hardener.cli import run
from hardener.documents.scan import ScanResult

PIXELS = ["--mean", "0", "--std", "1"]
TARGET = 4


def _scan(model: onnx.ModelProto, tmp_path: Path, *more: str) -> tuple[int, Path]:
    path, folder = saved(model, tmp_path / "m.onnx"), tmp_path / "scan"
    return run(["scan", str(path), "-o", str(folder), *PIXELS, "--quiet", *more]), folder


def _with_a_target() -> onnx.ModelProto:
    sums = even_sums(12)
    sums[TARGET] = 60.0
    return share_model(sums)


def test_a_label_far_ahead_of_all_others_is_suspected_and_not_accused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, folder = _scan(_with_a_target(), tmp_path)
    assert code == 3
    result = hardener.load_scan(folder)
    assert (result.verdict, result.targets, result.suspect) == ("inconclusive", (), TARGET)
    assert 0.4 < result.score < 0.6
    assert result.margins is not None
    assert result.margins.suspect == TARGET
    assert result.margins.largest[TARGET] == pytest.approx(60, rel=1e-3)
    assert result.margins.p_value is not None
    assert result.margins.p_value < 1e-4
    assert result.last_layer is not None
    assert result.last_layer.suspect == TARGET
    assert result.last_layer.mean_weights[TARGET] == pytest.approx(60 / 192, rel=1e-5)
    document = json.loads((folder / "scan.json").read_text())
    assert document["data"] is None
    assert document["accuracy"] is None
    assert (document["labels"], document["norms"], document["channels"]) == ([], {}, [])
    assert document["layer"]["name"] == "feature"
    assert {"schema_version", "tool", "created", "seed", "provider", "model"} <= set(document)
    assert list(folder.iterdir()) == [folder / "scan.json"]
    reasons = " ".join(result.reasons)
    assert "no trigger was searched" in reasons
    assert f"label {TARGET} gets furthest ahead" in reasons
    shown = capsys.readouterr().out
    assert "verdict: inconclusive (score 0.50, no images)" in shown
    assert "Largest margins" in shown
    assert "harden scan" in shown


def test_an_even_model_is_inconclusive_and_never_clean(tmp_path: Path) -> None:
    code, folder = _scan(share_model(even_sums(12)), tmp_path)
    result = hardener.load_scan(folder)
    assert (code, result.verdict, result.targets) == (3, "inconclusive", ())
    assert result.score < 0.6
    assert result.margins is not None
    assert result.margins.p_value is not None
    assert result.margins.p_value > 0.01
    assert "never called clean" in " ".join(result.reasons)


def test_few_labels_are_not_tested(tmp_path: Path) -> None:
    code, folder = _scan(share_model([10, 11, 60]), tmp_path)
    result = hardener.load_scan(folder)
    assert (code, result.verdict, result.score) == (3, "inconclusive", 0)
    assert result.margins is not None
    assert result.margins.p_value is None
    assert "8 needed" in " ".join(result.reasons)


def test_a_head_without_rows_is_said_and_the_margins_are_searched(tmp_path: Path) -> None:
    code, folder = _scan(classifier(SQUEEZE, dict(SQUEEZE_SHAPES)), tmp_path)
    result = hardener.load_scan(folder)
    assert code == 3
    assert result.last_layer is None
    assert result.margins is not None
    assert "weights were not looked at" in " ".join(result.reasons)


def test_a_model_that_overflows_is_inconclusive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = share_model(even_sums(12))
    (rows,) = [tensor for tensor in model.graph.initializer if tensor.name == "rows"]
    huge = share_rows(even_sums(12)) * np.float32(3e37)
    rows.CopyFrom(onnx.numpy_helper.from_array(huge * np.float32(3), "rows"))
    code, folder = _scan(model, tmp_path)
    assert code == 3
    assert "not finite" in capsys.readouterr().err
    assert not folder.exists()


def test_the_same_scan_twice_differs_only_in_time(tmp_path: Path) -> None:
    model = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    found = [hardener.scan(model, None, tmp_path / name) for name in ("first", "second")]
    assert found[0].model_copy(update={"created": found[1].created}) == found[1]


@pytest.mark.parametrize("more", [("--labels", "1,2"), ("--known-trigger", "t.npz")])
def test_what_needs_images_is_refused(
    more: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, folder = _scan(_with_a_target(), tmp_path, *more)
    assert code == 2
    assert "give --data" in capsys.readouterr().err
    assert not folder.exists()


def test_unknown_preprocessing_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.onnx"
    onnx.save_model(_with_a_target(), path)
    assert run(["scan", str(path), "-o", str(tmp_path / "scan"), "--quiet"]) == 2
    assert "--mean" in capsys.readouterr().err


def test_later_commands_ask_for_a_scan_with_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, folder = _scan(_with_a_target(), tmp_path)
    assert code == 3
    data, output = tmp_path / "d.npz", tmp_path / "out.onnx"
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)
    np.savez(data, images=images, labels=np.arange(24) % 12)
    shared = [str(tmp_path / "m.onnx"), "--scan", str(folder), "--data", str(data), "--quiet"]
    commands = [
        ["prune", *shared, "-o", str(output)],
        ["prune", *shared, "-o", str(output), "--force"],
        ["repair", *shared, "-o", str(output), "--force"],
        ["bench", *shared, "-o", str(tmp_path / "bench.json")],
    ]
    capsys.readouterr()
    for command in commands:
        assert run(command) == 2
        assert "run harden scan with --data" in capsys.readouterr().err
    assert not output.exists()
    assert not (tmp_path / "bench.json").exists()


@pytest.mark.parametrize("field", ["verdict", "accuracy"])
def test_a_scan_without_images_that_says_more_is_refused(field: str, tmp_path: Path) -> None:
    _, folder = _scan(share_model(even_sums(12)), tmp_path)
    found = ScanResult.read(folder / "scan.json")
    said = {"verdict": "clean", "accuracy": 0.9}[field]
    found.model_copy(update={field: said}).write(folder / "scan.json")
    with pytest.raises(hardener.DataError, match="contradicts itself"):
        hardener.load_scan(folder)


def test_a_model_without_any_slope_is_inconclusive(tmp_path: Path) -> None:
    steps = "q = Greater(p, th)\n  r = Cast<to=1>(q)\n  d = Flatten(r)"
    model = classifier(PLAIN.replace("d = Flatten(p)", steps), {**PLAIN_SHAPES, "th": 0.3})
    code, folder = _scan(model, tmp_path)
    assert code == 3
    assert any("without a slope" in reason for reason in hardener.load_scan(folder).reasons)
