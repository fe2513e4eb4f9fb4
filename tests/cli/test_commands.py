"""The commands as a user runs them: real processes, real models, exit codes, files."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, RESIDUAL, RESIDUAL_SHAPES, classifier, saved
from support.small import scanned_and_labelled, write_scan_of

from hardener.cli import run
from hardener.cores import available_cores
from hardener.documents.bench import BenchResult
from hardener.documents.prune import PruneResult
from hardener.documents.repair import RepairResult
from hardener.documents.scan import ScanResult
from hardener.files import sha256_of
from hardener.measuring.quality import Probe, measure
from hardener.model.classifier import open_classifier, open_full
from hardener.model.runtime import Machine
from hardener.repairing.rounds import UNIVERSAL_SIZES
from hardener.repairing.stamping import STRENGTHS
from hardener.repairing.universal import UNIVERSAL
from hardener.triggers.patch import load_trigger

HARDEN = [sys.executable, "-c", "from hardener.entry import main; main()"]


def _harden(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HARDEN, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def _prune(model: Path, scan: Path, data: Path) -> list[str]:
    """A prune with the budget that a network as small as the signs victim needs."""
    command = ["prune", str(model), "--scan", str(scan), "--data", str(data)]
    return [*command, "--max-accuracy-drop", "0.08"]


@pytest.fixture(scope="module")
def scanned(
    tmp_path_factory: pytest.TempPathFactory, signs_victim: Path, signs: Path, signs_trigger: Path
) -> Path:
    folder = tmp_path_factory.mktemp("scan")
    done = _harden(
        "scan", signs_victim, "--data", signs, "-o", folder, "--known-trigger", signs_trigger
    )
    assert done.returncode == 1, done.stderr
    return folder


@pytest.fixture(scope="module")
def hardened(
    tmp_path_factory: pytest.TempPathFactory, signs_victim: Path, signs: Path, scanned: Path
) -> Path:
    output = tmp_path_factory.mktemp("hardened") / "hardened.onnx"
    done = _harden(*_prune(signs_victim, scanned, signs), "-o", output)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^provider: \w+, \d+ threads, batches of 256 images$", done.stderr, re.M)
    return output


def test_scan_finds_the_backdoor_and_keeps_the_contract(scanned: Path, signs_victim: Path) -> None:
    document = json.loads((scanned / "scan.json").read_text())
    result = ScanResult.read(scanned / "scan.json")
    assert (result.verdict, result.targets) == ("backdoored", (8,))
    assert 0 <= result.score <= 1
    assert set(document) >= {
        *("schema_version", "tool", "created", "seed", "provider", "model", "data", "verdict"),
        *("score", "targets", "layer", "labels", "norms", "channels", "reasons"),
    }
    assert (document["batch_size"], document["threads"]) == (256, available_cores())
    # What needs no images stands beside the verdict, of every label.
    assert document["margins"]["suspect"] == 8
    assert len(document["margins"]["largest"]) == 43
    assert len(document["last_layer"]["mean_weights"]) == 43
    assert sum("without data" in reason for reason in document["reasons"]) == 1
    assert document["model"]["path"] == str(signs_victim)
    assert document["data"]["count"] == 12 * 43
    assert [row["label"] for row in document["labels"]] == list(range(43))
    assert set(document["labels"][0]) >= {
        *("label", "mask_l1", "anomaly_index", "trigger_success_rate"),
    }
    assert set(document["norms"]) == {"clean", "clean+ori", "clean+syn", "clean+ori+syn"}
    assert set(document["norms"]["clean"]["linf"]) == {"max", "mean"}
    layer = document["layer"]
    assert len(document["channels"]) == layer["channels"]
    for row in document["channels"]:
        assert row["gap"] == pytest.approx(row["linf_triggered"] - row["linf_clean"], abs=1e-5)
    with np.load(scanned / "triggers" / "label-08.npz") as trigger:
        assert trigger["mask"].shape == (1, 32, 32)
        assert trigger["pattern"].shape == (3, 32, 32)
        assert int(trigger["label"]) == 8
    assert (scanned / "triggers" / "label-08.png").is_file()


def test_the_same_scan_twice_differs_only_in_time(
    signs_victim: Path, signs: Path, tmp_path: Path
) -> None:
    # Two labels take the same way as all of them, in a fraction of the time.
    arguments = ["scan", str(signs_victim), "--data", str(signs), "--labels", "0,8", "--quiet"]
    documents = []
    for name in ("first", "second"):
        assert run([*arguments, "-o", str(tmp_path / name)]) == 3
        document = json.loads((tmp_path / name / "scan.json").read_text())
        assert document.pop("created")
        documents.append(document)
    assert documents[0] == documents[1]
    assert documents[0]["verdict"] == "inconclusive"


def test_prune_writes_a_model_that_proves_its_origin(
    hardened: Path, signs_victim: Path, scanned: Path
) -> None:
    model = onnx.load(hardened)
    onnx.checker.check_model(model, full_check=True)
    metadata = {item.key: item.value for item in model.metadata_props}
    scan = ScanResult.read(scanned / "scan.json")
    result = PruneResult.read(hardened.with_suffix(".json"))
    assert metadata["hardener.source_sha256"] == scan.model.sha256 == result.model.sha256
    assert json.loads(metadata["hardener.plan"])["channels"] == list(result.channels)
    assert "hardener.version" in metadata
    original = onnx.load(signs_victim)
    assert {item.key for item in original.metadata_props} < set(metadata)
    assert [n.op_type for n in model.graph.node] == [n.op_type for n in original.graph.node]
    assert model.opset_import == original.opset_import
    assert result.chosen_on + result.reported_on == 12 * 43
    assert result.attack_success_rate_before is not None
    assert result.attack_success_rate_after is not None
    assert result.attack_success_rate_after < 0.2 < result.attack_success_rate_before
    assert any(row.threshold == result.threshold for row in result.sweep)


def test_prune_is_byte_identical(
    hardened: Path, signs_victim: Path, signs: Path, scanned: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.onnx"
    arguments = [*_prune(signs_victim, scanned, signs), "-o", str(again), "--quiet"]
    assert run(arguments) == 0
    assert again.read_bytes() == hardened.read_bytes()


@pytest.mark.parametrize("rewrite", ["mask", "guard"])
def test_other_rewrites_work_too(
    signs_victim: Path, signs: Path, scanned: Path, tmp_path: Path, rewrite: str
) -> None:
    output = tmp_path / f"{rewrite}.onnx"
    arguments = ["prune", str(signs_victim), "--scan", str(scanned), "--data", str(signs)]
    code = run([*arguments, "-o", str(output), "--rewrite", rewrite, "--quiet", "--force"])
    assert code == 0
    result = PruneResult.read(output.with_suffix(".json"))
    assert result.rewrite == rewrite
    assert len(onnx.load(output).graph.node) > len(onnx.load(signs_victim).graph.node)


def test_a_dry_run_writes_nothing(
    signs_victim: Path, signs: Path, scanned: Path, tmp_path: Path
) -> None:
    done = _harden(
        *("prune", signs_victim, "--scan", scanned, "--data", signs, "--max-attack-success", "1"),
        *("-o", tmp_path / "h.onnx", "--dry-run", "--format", "json"),
    )
    assert done.returncode == 0
    result = PruneResult.model_validate_json(done.stdout)
    assert result.outcome == "planned"
    assert result.channels
    assert list(tmp_path.iterdir()) == []


def test_a_pruning_that_leaves_much_of_the_attack_is_bad_news(
    signs_victim: Path, signs: Path, scanned: Path, tmp_path: Path
) -> None:
    done = _harden(
        *("prune", signs_victim, "--scan", scanned, "--data", signs, "-o", tmp_path / "h.onnx"),
    )
    assert done.returncode == 1
    assert "more than 10.00 % of the attack is left: nothing written" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_repair_ends_the_backdoor_in_the_same_graph(
    signs_victim: Path, signs: Path, scanned: Path, signs_trigger: Path, tmp_path: Path
) -> None:
    output = tmp_path / "r.onnx"
    done = _harden(
        *("repair", signs_victim, "--scan", scanned, "--data", signs, "-o", output),
        *("--max-accuracy-drop", "0.05", "--rounds", "1"),
    )
    assert done.returncode == 0, done.stderr
    model, original = onnx.load(output), onnx.load(signs_victim)
    onnx.checker.check_model(model, full_check=True)
    assert list(model.graph.node) == list(original.graph.node)
    assert list(model.graph.input) == list(original.graph.input)
    assert list(model.graph.output) == list(original.graph.output)
    metadata = {item.key: item.value for item in model.metadata_props}
    result = RepairResult.read(output.with_suffix(".json"))
    assert metadata["hardener.source_sha256"] == result.model.sha256 == sha256_of(signs_victim)
    assert json.loads(metadata["hardener.plan"])["targets"] == [8]
    assert result.hardened is not None
    assert result.hardened.sha256 == sha256_of(output)
    assert result.images_used + result.chosen_on + result.reported_on == 12 * 43
    # Two kinds or three, each with a stronger one, up to eight squares, and universal ones.
    universal = UNIVERSAL.starts * len(STRENGTHS) * len(UNIVERSAL_SIZES)
    assert universal + 4 <= result.rounds[1].triggers <= universal + 14
    assert result.rounds[0].suspicion > 0.6
    classifier = open_classifier(output)
    counts = measure(
        classifier,
        open_full(classifier.proto, classifier.signature, Machine()),
        classifier.open_data(signs),
        {"clean": Probe(), "triggered": Probe((load_trigger(signs_trigger),), 8)},
    )
    assert counts["clean"].correct > 0.93 * counts["clean"].n
    assert counts["triggered"].hits < 0.1 * counts["triggered"].others
    assert result.residual_success is not None
    assert counts["triggered"].success_rate <= result.residual_success.upper
    assert counts["triggered"].robust > 0.8 * counts["triggered"].others


def test_bench_compares_the_models(
    hardened: Path,
    signs_victim: Path,
    signs: Path,
    signs_trigger: Path,
    scanned: Path,
    tmp_path: Path,
) -> None:
    output = tmp_path / "bench.json"
    done = _harden(
        *("bench", signs_victim, hardened, "--data", signs, "-o", output, "--scan", scanned),
        *("--trigger", signs_trigger, "--format", "json", "--provider", "cpu"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == json.loads(output.read_text())
    result = BenchResult.read(output)
    before, after = result.models
    assert result.target == 8
    assert set(before.attack_success_rate) == {"clean+ori", "clean+syn", "clean+ori+syn"}
    assert before.attack_success_rate["clean+ori"].value > 0.8
    assert after.attack_success_rate["clean+ori"].value < 0.5
    assert after.robust_accuracy["clean+ori"].value > before.robust_accuracy["clean+ori"].value
    assert before.latency_ratio.value == 1
    for model in result.models:
        assert model.accuracy.low <= model.accuracy.value <= model.accuracy.high
        for row in model.latency:
            assert row.provider == "cpu"
            assert row.p50_ms <= row.p95_ms <= row.p99_ms
            assert row.timed_runs >= 20


def test_json_is_all_there_is_on_standard_output(signs_victim: Path) -> None:
    done = _harden("inspect", signs_victim, "--format", "json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["classes"] == 43
    assert document["refusals"] == {}
    assert done.stderr == ""


def test_named_channels_need_neither_scan_nor_data(tmp_path: Path) -> None:
    model = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    output = tmp_path / "h.onnx"
    assert run(["prune", str(model), "--channels", "1,4", "-o", str(output)]) == 0
    assert PruneResult.read(output.with_suffix(".json")).channels == (1, 4)


def test_a_clean_scan_leaves_nothing_to_prune(
    signs_victim: Path, signs: Path, scanned: Path, tmp_path: Path
) -> None:
    document = json.loads((scanned / "scan.json").read_text())
    document |= {"verdict": "clean", "targets": [], "score": 0.1}
    for folder, verdict, code in (("a", "clean", 0), ("b", "inconclusive", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "scan.json").write_text(json.dumps(document | {"verdict": verdict}))
        arguments = ["prune", str(signs_victim), "--scan", str(tmp_path / folder)]
        output = tmp_path / "h.onnx"
        assert run([*arguments, "--data", str(signs), "-o", str(output)]) == code
        assert not output.exists()


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("hardener ")


PRUNE_BY_SCAN = ["prune", "m.onnx", "--scan", "s", "--data", "d.npz", "-o", "h.onnx"]
BAD_COMMANDS = {
    "no command": ([], "a command is missing"),
    "unknown command": (["melt"], "No such command 'melt'"),
    "no model": (["inspect"], "Missing argument 'MODEL.onnx'"),
    "missing model": (["inspect", "none.onnx"], "none.onnx does not exist"),
    "no onnx": (["inspect", "text.onnx"], "text.onnx is no ONNX model"),
    "empty onnx": (["inspect", "empty.onnx"], "empty.onnx is no ONNX model"),
    "missing data": (["scan", "m.onnx", "--data", "none", "-o", "s"], "none does not exist"),
    "empty data": (["scan", "m.onnx", "--data", "folder", "-o", "s"], "holds no pictures"),
    "label beyond": (["scan", "m.onnx", "--data", "big.npz", "-o", "s"], "has label 5"),
    "bad labels": (["scan", "m.onnx", "--data", "d.npz", "-o", "s", "--labels", "x"], "--labels"),
    "no such label": (
        ["scan", "m.onnx", "--data", "d.npz", "-o", "s", "--labels", "9"],
        "not all among the model's 0 to 4",
    ),
    "no such layer": (
        ["scan", "m.onnx", "--data", "d.npz", "-o", "s", "--layer", "q"],
        "has no tensor 'q'",
    ),
    "no cuda": (
        ["scan", "m.onnx", "--data", "d.npz", "-o", "s", "--provider", "tensorrt"],
        "provider tensorrt cannot run here",
    ),
    "no scan": (
        ["prune", "m.onnx", "--scan", "folder", "--data", "d.npz", "-o", "h.onnx"],
        "run harden scan first",
    ),
    "neither": (["prune", "m.onnx", "-o", "h.onnx"], "--scan DIR and --data CLEAN"),
    "no such channel": (
        ["prune", "m.onnx", "--channels", "6", "-o", "h.onnx"],
        "channel 6 does not exist",
    ),
    "guard of channels": (
        ["prune", "m.onnx", "--channels", "1", "-o", "h.onnx", "--rewrite", "guard"],
        "goes with --scan",
    ),
    "clip of channels": (
        ["prune", "m.onnx", "--channels", "1", "-o", "h.onnx", "--rewrite", "clip"],
        "goes with --scan",
    ),
    "channels and alarm": (
        ["prune", "m.onnx", "--channels", "1", "-o", "h.onnx", "--alarm"],
        "goes without --force, --mean, --std, --size, --policy, --alarm and --report",
    ),
    "alarm of a clip": (
        [*PRUNE_BY_SCAN, "--rewrite", "clip", "--alarm"],
        "goes with --rewrite guard",
    ),
    "a quantile for good": (
        [*PRUNE_BY_SCAN, "--criterion", "linf-quantile"],
        "no criterion 'linf-quantile' for --rewrite fold or mask: use one of linf, linf-gap",
    ),
    "a gap on single images": (
        [*PRUNE_BY_SCAN, "--rewrite", "clip", "--criterion", "linf-gap"],
        "for --rewrite clip: use one of linf, linf-quantile, linf-ratio",
    ),
    "a quantile beyond 1": (
        [*PRUNE_BY_SCAN, "--rewrite", "guard", "--criterion", "linf-quantile", "--threshold", "97"],
        "from 0 to 1, not 97",
    ),
    "over itself": (["prune", "m.onnx", "--channels", "1", "-o", "m.onnx"], "is an input itself"),
    "other suffix": (["prune", "m.onnx", "--channels", "1", "-o", "h.bin"], "ends in .onnx"),
    "no arch": (["export", "text.onnx", "--arch", "nonsense", "-o", "h.onnx"], "MODULE:CLASS"),
    "a target without a trigger": (
        ["bench", "m.onnx", "--data", "d.npz", "-o", "b.json", "--target", "1"],
        "give --trigger or --scan with it",
    ),
    "no target": (
        ["bench", "m.onnx", "--data", "d.npz", "-o", "b.json", "--target", "77"],
        "target 77 is no label",
    ),
    "output is a folder": (
        ["bench", "m.onnx", "--data", "d.npz", "-o", "folder.json"],
        "is a folder",
    ),
    "json is a folder": (
        ["prune", "m.onnx", "--channels", "1", "-o", "folder.onnx"],
        "folder.json is a folder",
    ),
    "bench over a model": (["bench", "m.onnx", "--data", "d.npz", "-o", "m.onnx"], "ends in .json"),
    "size nan": (["scan", "m.onnx", "--data", "d.npz", "-o", "s", "--size", "nan"], "whole number"),
    "threshold inf": (
        [
            *("prune", "m.onnx", "--scan", "s", "--data", "d.npz"),
            "-o",
            "h.onnx",
            "--threshold=1e39",
        ],
        "finite number",
    ),
    "channels and data": (
        ["prune", "m.onnx", "--channels", "1", "-o", "h.onnx", "--data", "d.npz"],
        "goes without --scan, --data",
    ),
    "channels and force": (
        ["prune", "m.onnx", "--channels", "1", "-o", "h.onnx", "--force"],
        "goes without --force, --mean",
    ),
    "channels and no gpu": (
        ["prune", "m.onnx", "--channels", "1", "-o", "h.onnx", "--provider", "tensorrt"],
        "tensorrt cannot run here",
    ),
}


@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_bad_input_is_one_line_and_exit_code_2(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    (tmp_path / "text.onnx").write_text("this is no model")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.json").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels, labels=np.arange(6) % 5)
    np.savez(tmp_path / "big.npz", images=pixels, labels=np.arange(6))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    arguments, message = BAD_COMMANDS[name]
    assert run(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.count("\n") == 1
    assert "Traceback" not in shown.err
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert after == before


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A small model, its scan, and images that it labels itself, so that it is never wrong."""
    return scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path)


@pytest.fixture
def residual(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The same of a model with two convolutions."""
    return scanned_and_labelled(classifier(RESIDUAL, dict(RESIDUAL_SHAPES), seed=67), tmp_path)


@pytest.mark.parametrize(
    ("flags", "code", "outcome"),
    [
        (["--threshold", "1000"], 1, "no-gain"),
        (["--max-accuracy-drop", "0"], 1, "no-gain"),
        (["--threshold", "-5.9"], 1, "over-budget"),
        (["--threshold", "-5.9", "--force"], 0, "written"),
    ],
)
def test_what_a_prune_that_costs_too_much_does(
    small: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    code: int,
    outcome: str,
) -> None:
    model, scan, data = map(str, small)
    output = tmp_path / "h.onnx"
    arguments = ["prune", model, "--scan", scan, "--data", data, "-o", str(output), *flags]
    assert run([*arguments, "--format", "json"]) == code
    assert PruneResult.model_validate_json(capsys.readouterr().out).outcome == outcome
    assert output.exists() == (outcome == "written")


@pytest.mark.parametrize(
    "flags",
    [
        ["--rewrite", "guard", "--threshold", "2"],
        ["--rewrite", "guard", "--threshold", "0.7", "--criterion", "linf-quantile", "--alarm"],
        ["--rewrite", "clip", "--threshold", "0.3"],
    ],
)
def test_a_guard_and_a_clip_go_through_every_command(
    small: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
) -> None:
    model, scan, data = map(str, small)
    first, again = tmp_path / "h.onnx", tmp_path / "again.onnx"
    for output in (first, again):
        command = ["prune", model, "--scan", scan, "--data", data, "-o", str(output), *flags]
        assert run([*command, "--force"]) == 0
    assert first.read_bytes() == again.read_bytes()
    assert f"{flags[1]} at linf" in capsys.readouterr().out
    result = PruneResult.read(first.with_suffix(".json"))
    assert (result.rewrite, result.channels, result.alarm) == (flags[1], (), "--alarm" in flags)
    assert len(result.limits) == (0 if result.criterion == "linf" else 6)
    assert result.threshold == float(flags[3])
    outputs = [value.name for value in onnx.load(first).graph.output]
    assert outputs == ["logits", "hardener_alarm"][: 1 + result.alarm]

    assert run(["inspect", str(first), "--format", "json"]) == 0
    inspected = json.loads(capsys.readouterr().out)
    assert (inspected["output"], inspected["classes"]) == ("logits", 5)
    assert json.loads(inspected["plan"])["threshold"] == result.threshold
    report = tmp_path / "b.json"
    monkeypatch.setattr("hardener.benching.bench._SECONDS_PER_BATCH_SIZE", 0.1)
    assert run(["bench", model, str(first), "--data", data, "-o", str(report)]) == 0
    before, after = BenchResult.read(report).models
    assert before.accuracy.value == 1 > after.accuracy.value > 0


CRITERIA_OF_CONVOLUTIONS = ("fine-pruning", "clp", "anp", "rnp")


@pytest.mark.parametrize("criterion", CRITERIA_OF_CONVOLUTIONS)
def test_criteria_of_convolutions_write_the_same_bytes_twice_and_keep_the_graph(
    residual: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    criterion: str,
) -> None:
    model, scan, data = map(str, residual)
    first, again = tmp_path / "h.onnx", tmp_path / "again.onnx"
    for output in (first, again):
        command = ["prune", model, "--scan", scan, "--data", data, "-o", str(output)]
        flags = ["--criterion", criterion, "--max-accuracy-drop", "1", "--seed", "3"]
        flags += ["--threshold", "0.1"] if criterion == "anp" else []  # nothing that it tries helps
        assert run([*command, *flags, "--force"]) == 0
    assert first.read_bytes() == again.read_bytes()
    result = PruneResult.read(first.with_suffix(".json"))
    assert (result.criterion, result.rewrite, result.outcome) == (criterion, "fold", "written")
    assert result.sweep[0].channels_pruned == 0
    pruned = {one.name: one.pruned for one in result.convolutions if one.pruned}
    alone = criterion == "fine-pruning"
    assert [one.name for one in result.convolutions] == (["c"] if alone else ["a", "c"])
    assert result.layer.name == ("c" if alone else "feature")
    assert result.channels == (pruned["c"] if alone else ())
    counted = "channels of c" if alone else "of 12 channels of 2 convolutions"
    assert f"{counted}, fold" in capsys.readouterr().out

    hardened = onnx.load(first)
    assert list(hardened.graph.node) == list(onnx.load(model).graph.node)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in hardened.graph.initializer}
    for convolution, filters, bias in (("a", "w1", "b1"), ("c", "w2", "b2")):
        gone = pruned.get(convolution, ())
        assert np.flatnonzero(~weights[filters].any(axis=(1, 2, 3))).tolist() == list(gone)
        assert not weights[bias][list(gone)].any()
    assert run(["inspect", str(first), "--format", "json"]) == 0
    plan = json.loads(json.loads(capsys.readouterr().out)["plan"])
    assert plan["convolutions"] == {name: list(gone) for name, gone in pruned.items()}


def test_what_was_pruned_of_convolutions_stays_pruned_in_a_repair(
    residual: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    model, scan, data = map(str, residual)
    pruned, repaired = tmp_path / "p.onnx", tmp_path / "r.onnx"
    prune = ["prune", model, "--scan", scan, "--data", data, "-o", str(pruned), "--quiet"]
    assert run([*prune, "--criterion", "clp", "--threshold", "0", "--force"]) == 0
    arguments = ["repair", str(pruned), "--scan", scan, "--data", data, "-o", str(repaired)]
    assert run([*arguments, "--rounds", "1", "--force", "--quiet"]) == 0
    gone = {
        one.name: list(one.pruned) for one in PruneResult.read(tmp_path / "p.json").convolutions
    }
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(repaired).graph.initializer}
    assert gone["a"]
    assert gone["c"]
    for name, convolution in (("w1", "a"), ("b1", "a"), ("w2", "c"), ("b2", "c")):
        assert not weights[name][gone[convolution]].any()


@pytest.mark.parametrize(
    ("flags", "code", "outcome"),
    [
        (["--criterion", "clp", "--threshold", "1000"], 1, "no-gain"),
        (["--criterion", "fine-pruning", "--max-accuracy-drop", "0"], 1, "no-gain"),
        (["--criterion", "clp", "--threshold", "-1", "--max-accuracy-drop", "0"], 1, "over-budget"),
        (["--criterion", "clp", "--layer", "a", "--threshold", "0", "--force"], 0, "written"),
        (["--criterion", "clp", "--threshold", "0", "--force", "--dry-run"], 0, "planned"),
    ],
)
def test_what_a_prune_of_convolutions_says(
    residual: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    code: int,
    outcome: str,
) -> None:
    model, scan, data = map(str, residual)
    output = tmp_path / "h.onnx"
    arguments = ["prune", model, "--scan", scan, "--data", data, "-o", str(output), *flags]
    assert run([*arguments, "--format", "json"]) == code
    result = PruneResult.model_validate_json(capsys.readouterr().out)
    assert result.outcome == outcome
    assert output.exists() == (outcome == "written")
    if "--layer" in flags:
        assert result.layer.name == "a"
        assert [one.name for one in result.convolutions] == ["a"]
        assert result.channels == result.convolutions[0].pruned != ()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--criterion", "clp", "--layer", "feature"], "no convolution 'feature'"),
        (["--criterion", "linf", "--layer", "a"], "--layer names a convolution for --criterion"),
        (["--criterion", "anp", "--rewrite", "mask"], "it goes with --rewrite fold, not mask"),
        (["--criterion", "rnp", "--rewrite", "guard"], "no criterion 'rnp' for --rewrite guard"),
        (["--criterion", "clp", "--threshold", "-1000"], "prunes every channel"),
        (["--criterion", "l7"], "fine-pruning, clp, anp, rnp"),
    ],
)
def test_a_prune_of_convolutions_with_senseless_flags_is_refused(
    residual: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    said: str,
) -> None:
    model, scan, data = map(str, residual)
    output = tmp_path / "h.onnx"
    arguments = ["prune", model, "--scan", scan, "--data", data, "-o", str(output)]
    assert run([*arguments, *flags]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.strip().count("\n") == 0
    assert not output.exists()


def test_a_guard_may_be_guarded_again_but_has_one_alarm(
    small: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, scan, data = map(str, small)
    guarded, found = tmp_path / "h.onnx", tmp_path / "found"
    guard = ["--data", data, "--rewrite", "guard", "--threshold", "2", "--force"]
    assert run(["prune", model, "--scan", scan, "-o", str(guarded), *guard, "--alarm"]) == 0
    write_scan_of(guarded, found)
    twice = tmp_path / "twice.onnx"
    command = ["prune", str(guarded), "--scan", str(found), "-o", str(twice), *guard]
    assert run([*command, "--alarm"]) == 2
    assert "has a 'hardener_alarm' already" in capsys.readouterr().err
    assert run(command) == 0
    assert "'hardener_alarm' is taken as a guard's count" in capsys.readouterr().out
    assert [value.name for value in onnx.load(twice).graph.output] == ["logits", "hardener_alarm"]


@pytest.mark.parametrize(
    ("flags", "code", "outcome"),
    [
        (["--max-accuracy-drop", "0"], 1, "over-budget"),
        (["--max-accuracy-drop", "1", "--max-attack-success", "0"], 1, "attack-left"),
        (["--max-accuracy-drop", "1", "--max-attack-success", "1"], 0, "written"),
        (["--max-accuracy-drop", "0", "--force"], 0, "written"),
    ],
)
def test_what_a_repair_that_costs_too_much_does(
    small: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    code: int,
    outcome: str,
) -> None:
    model, scan, data = map(str, small)
    output = tmp_path / "h.onnx"
    arguments = ["repair", model, "--scan", scan, "--data", data, "-o", str(output)]
    assert run([*arguments, "--rounds", "1", *flags, "--format", "json"]) == code
    result = RepairResult.model_validate_json(capsys.readouterr().out)
    assert result.outcome == outcome
    assert any("written by --force" in note for note in result.notes) == ("--force" in flags)
    assert output.exists() == (outcome == "written")
    assert output.with_suffix(".json").exists() == (outcome == "written")


@pytest.mark.parametrize(
    ("verdict", "code", "outcome"),
    [("clean", 0, "nothing-found"), ("inconclusive", 3, "inconclusive")],
)
def test_without_a_backdoor_nothing_is_repaired(
    small: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verdict: str,
    code: int,
    outcome: str,
) -> None:
    model, _, data = map(str, small)
    write_scan_of(small[0], tmp_path / "other", verdict)
    output = tmp_path / "h.onnx"
    arguments = ["repair", model, "--scan", str(tmp_path / "other"), "--data", data]
    assert run([*arguments, "-o", str(output), "--format", "json"]) == code
    assert json.loads(capsys.readouterr().out)["outcome"] == outcome
    assert not output.exists()


def test_a_clean_model_is_repaired_where_that_is_forced(
    small: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    model, _, data = map(str, small)
    write_scan_of(small[0], tmp_path / "other", "clean")
    output = tmp_path / "h.onnx"
    arguments = ["repair", model, "--scan", str(tmp_path / "other"), "--data", data, "--quiet"]
    assert run([*arguments, "-o", str(output), "--rounds", "1", "--force"]) == 0
    assert output.exists()


def test_what_was_pruned_stays_pruned_in_a_repair(
    small: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    model, scan, data = map(str, small)
    pruned, repaired = tmp_path / "p.onnx", tmp_path / "r.onnx"
    assert run(["prune", model, "--channels", "1,4", "-o", str(pruned), "--quiet"]) == 0
    arguments = ["repair", str(pruned), "--scan", scan, "--data", data, "-o", str(repaired)]
    assert run([*arguments, "--rounds", "1", "--force", "--quiet"]) == 0
    before, after = (
        {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
        for path in (pruned, repaired)
    )
    assert not after["w1"][[1, 4]].any()
    assert not after["b1"][[1, 4]].any()
    assert (after["w1"] != before["w1"]).any()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rounds", "0"], "--rounds is 1 or more, not 0"),
        (["--max-accuracy-drop", "2"], "--max-accuracy-drop is a fraction from 0 to 1"),
        (["--max-attack-success", "-1"], "--max-attack-success is a fraction from 0 to 1"),
    ],
)
def test_a_repair_with_senseless_flags_is_refused(
    small: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    said: str,
) -> None:
    model, scan, data = map(str, small)
    arguments = ["repair", model, "--scan", scan, "--data", data, "-o", str(tmp_path / "h.onnx")]
    assert run([*arguments, *flags]) == 2
    assert said in capsys.readouterr().err


def test_another_preprocessing_than_the_scans_is_refused(
    small: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, scan, data = map(str, small)
    arguments = ["prune", model, "--scan", scan, "--data", data, "-o", str(tmp_path / "h.onnx")]
    assert run([*arguments, "--mean", "0"]) == 2
    assert "scanned with another preprocessing" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["scan", "bench", "prune"])
def test_values_that_are_not_finite_are_inconclusive(
    small: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    _, _, data = small
    broken = classifier(PLAIN, dict(PLAIN_SHAPES))
    for weight in broken.graph.initializer:
        if weight.name == "b2":
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full(5, np.nan, np.float32), "b2"))
    model = saved(broken, tmp_path / "nan.onnx")
    write_scan_of(model, tmp_path / "sn")
    output = tmp_path / "out"
    rest = {
        "scan": ["-o", str(output)],
        "bench": ["-o", str(output / "b.json")],
        "prune": ["--scan", str(tmp_path / "sn"), "-o", str(output / "h.onnx")],
    }
    assert run([command, str(model), "--data", str(data), *rest[command]]) == 3
    assert "not finite" in capsys.readouterr().err
    assert not output.exists()


def test_too_few_images_choose_nothing(
    small: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, scan, _ = map(str, small)
    pixels = np.zeros((20, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "few.npz", images=pixels, labels=np.zeros(20, int))
    data, output = str(tmp_path / "few.npz"), tmp_path / "h.onnx"
    assert run(["prune", model, "--scan", scan, "--data", data, "-o", str(output)]) == 3
    assert "100 are needed" in capsys.readouterr().err


def test_a_scan_of_another_model_is_refused(
    scanned: Path, signs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    arguments = ["prune", str(model), "--scan", str(scanned), "--data", str(signs)]
    assert run([*arguments, "-o", str(tmp_path / "h.onnx")]) == 2
    assert "is the scan of another model" in capsys.readouterr().err


def test_a_trigger_that_changed_after_the_scan_is_refused(
    scanned: Path, signs_victim: Path, signs: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "triggers").mkdir()
    (tmp_path / "scan.json").write_bytes((scanned / "scan.json").read_bytes())
    other = (scanned / "triggers" / "label-09.npz").read_bytes()
    (tmp_path / "triggers" / "label-08.npz").write_bytes(other)
    arguments = ["prune", str(signs_victim), "--scan", str(tmp_path), "--data", str(signs)]
    assert run([*arguments, "-o", str(tmp_path / "h.onnx")]) == 2
    assert "not the trigger that the scan saved" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("seconds", [1.0, 3.0, 5.0])
def test_a_killed_prune_leaves_the_old_file_or_the_new_one(
    signs_victim: Path, signs: Path, scanned: Path, hardened: Path, tmp_path: Path, seconds: float
) -> None:
    output = tmp_path / "h.onnx"
    output.write_bytes(b"the old one")
    arguments = [*_prune(signs_victim, scanned, signs), "-o", output]
    with subprocess.Popen(
        [*HARDEN, *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=30)
    assert output.read_bytes() in (b"the old one", hardened.read_bytes())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_is_said_in_one_line(signs_victim: Path, signs: Path, tmp_path: Path) -> None:
    # A background job, in which the tests may run, ignores Ctrl-C and hands that on.
    answering = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    harden = [*HARDEN[:2], answering + HARDEN[2]]
    arguments = ["scan", signs_victim, "--data", signs, "-o", tmp_path / "s"]
    with subprocess.Popen(
        [*harden, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        time.sleep(6)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "s" / "scan.json").exists()


@pytest.mark.parametrize("command", ["prune", "repair"])
@pytest.mark.parametrize(
    ("of_target_alone", "said"),
    [(False, "right and got"), (True, "give images of all classes")],
)
def test_nothing_is_hardened_by_images_that_prove_nothing(
    small: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    of_target_alone: bool,
    said: str,
) -> None:
    model, scan, data = small
    with np.load(data) as archive:
        images, labels = archive["images"], archive["labels"]
    target = json.loads((scan / "scan.json").read_text())["targets"][0]
    wrong = (labels + 1) % (labels.max() + 1)
    other, output = tmp_path / "other.npz", tmp_path / "h.onnx"
    np.savez(
        other, images=images, labels=np.full_like(labels, target) if of_target_alone else wrong
    )
    arguments = [command, str(model), "--scan", str(scan), "--data", str(other), "-o", str(output)]
    assert run([*arguments, "--quiet"]) == 3
    assert said in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("command", ["prune", "repair"])
def test_a_scan_that_suspects_what_it_did_not_invert_is_refused(
    small: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
) -> None:
    model, scan, data = small
    document = json.loads((scan / "scan.json").read_text())
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "scan.json").write_text(json.dumps(document | {"targets": [999]}))
    output = tmp_path / "h.onnx"
    arguments = [command, str(model), "--scan", str(tmp_path / "scan"), "--data", str(data)]
    assert run([*arguments, "-o", str(output)]) == 2
    assert "suspects label 999 and has no evidence of it" in capsys.readouterr().err


def test_a_checkpoint_is_sent_to_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], signs: Path
) -> None:
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.write_bytes(b"\x10" + bytes(200))
    assert run(["scan", str(checkpoint), "--data", str(signs), "-o", str(tmp_path / "s")]) == 2
    assert "harden export first" in capsys.readouterr().err
