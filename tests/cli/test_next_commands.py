"""The command that is named next can be copied, and works."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier
from support.scans import some_scan
from support.small import scanned_and_labelled

import hardener
from hardener.cli import run
from hardener.cli.commands import demo, export, report, scan
from hardener.documents.bench import BenchResult
from hardener.documents.export import ExportResult
from hardener.documents.identity import ModelIdentity, Normalisation
from hardener.documents.scan import ScanResult

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="quoted for a POSIX shell")

SMALL = ["--max-accuracy-drop", "1"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder: whoever ran the README's example has its files in the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose name has to be quoted, with a model, its scan and its images."""
    monkeypatch.setattr("hardener.benching.bench._SECONDS_PER_BATCH_SIZE", 0.05)
    folder = Path("my models")
    folder.mkdir()
    scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), folder)
    return folder


def _typed(capsys: pytest.CaptureFixture[str], when: str = "next") -> list[str]:
    """The arguments of the command that was named, as a shell would hand them on."""
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{when}: harden ")]
    return shlex.split(line)[2:]


def _filled(arguments: Sequence[str], **placeholders: Path) -> list[str]:
    return [str(placeholders.get(word, word)) for word in arguments]


def _prune(folder: Path, *more: str) -> list[str]:
    read = ["--scan", str(folder / "s"), "--data", str(folder / "d.npz")]
    output = ["-o", str(folder / "h.onnx")]
    return ["prune", str(folder / "m.onnx"), *read, *output, *more]


def test_from_prune_to_report_each_command_names_the_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    guard = ["--rewrite", "guard", "--threshold", "2", "--force", "--provider", "cpu"]
    assert run(_prune(folder, *guard)) == 0
    bench = _typed(capsys)
    assert bench[:3] == ["bench", "my models/m.onnx", "my models/h.onnx"]
    assert bench[-3:] == ["--provider=cpu", "-o", "my models/bench.json"]
    assert run(_filled(bench, TEST=folder / "d.npz")) == 0
    assert BenchResult.read(folder / "bench.json").target == 3
    report = _typed(capsys)
    assert report[0] == "report"
    assert report[report.index("--hardened") + 1] == "my models/h.json"
    assert report[report.index("--bench") + 1] == "my models/bench.json"


def test_prune_names_the_report_too_and_no_name_that_is_taken(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("bench.json", "bench-2.json", "report.html"):
        (folder / name).write_text("mine")
    assert run(_prune(folder, "--rewrite", "guard", "--threshold", "2", "--force")) == 0
    report = _typed(capsys, "then")
    assert report[report.index("--bench") + 1] == "my models/bench-3.json"
    assert report[-1] == "my models/report-2.html"


@pytest.mark.parametrize(
    ("more", "last"),
    [
        (["--threshold", "1000"], "next: harden repair 'my models/m.onnx' --scan 'my models/s' "),
        ([*SMALL, "--threshold", "-5.9", "--dry-run"], "next: the same command without --dry-run"),
    ],
)
def test_what_comes_next_where_nothing_was_written(
    folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], last: str
) -> None:
    run(_prune(folder, *more))
    assert capsys.readouterr().out.splitlines()[-1].startswith(last)


def test_named_channels_are_measured_without_a_scan(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, output = str(folder / "m.onnx"), str(folder / "h.onnx")
    assert run(["prune", model, "--channels", "1", "-o", output]) == 0
    bench = _typed(capsys)
    assert "--scan" not in bench
    assert run(_filled(bench, TEST=folder / "d.npz")) == 0
    assert _typed(capsys)[:2] == ["report", "SCAN"]


def test_a_model_that_was_inspected_is_scanned_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(folder / "m.onnx")]) == 0
    assert _typed(capsys) == ["scan", "my models/m.onnx", "--data", "CLEAN", "-o", "my models/scan"]


def test_a_first_look_is_followed_by_a_scan_with_the_same_options(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look = ["scan", str(folder / "m.onnx"), "-o", str(folder / "look"), "--mean", "0.5"]
    assert run([*look, "--std", "0.25,0.25,0.25"]) == 3
    expected = ["--data", "CLEAN", "--mean=0.5", "--std=0.25,0.25,0.25", "-o", "my models/look"]
    assert _typed(capsys) == ["scan", "my models/m.onnx", *expected]


def _after(scanned: ScanResult, folder: str = "s") -> list[str]:
    return scan.what_next(scanned, Path("m.onnx"), Path("-d"), Path(folder), ["--size=32"])


def test_a_scan_is_followed_by_a_repair_where_there_is_something_to_repair() -> None:
    wrote, following = _after(some_scan(12))
    assert wrote == "wrote s/scan.json; the triggers as pictures lie in s/triggers"
    assert following == (
        "next: harden repair m.onnx --scan s --data ./-d --size=32 -o hardened.onnx"
    )
    for verdict, targets in (("clean", ()), ("inconclusive", (0,)), ("backdoored", ())):
        last = _after(some_scan(12, verdict=verdict, targets=targets))[-1]
        assert last == "next: harden report s --model m.onnx --data ./-d -o report.html"
    assert _after(some_scan(12), ".")[-1].endswith(" -o hardened.onnx")


def test_what_follows_an_export_and_the_demo() -> None:
    model = Path("a b/m.onnx")
    some = ModelIdentity(path="a b/m.onnx", sha256="")
    exported = ExportResult(
        seed=0,
        provider="cpu",
        checkpoint=some,
        model=some,
        data=None,
        parity_images=1,
        preprocessing=Normalisation(size=(8, 8), mean=(0,), std=(1,)),
        largest_difference=0,
    )
    assert export.what_next(exported, model, None) == [
        "next: harden scan 'a b/m.onnx' --data CLEAN -o 'a b/scan'"
    ]
    assert "--data d.zip" in export.what_next(exported, model, Path("d.zip"))[0]
    unknown = exported.model_copy(update={"preprocessing": None})
    assert "--data CLEAN --mean MEAN --std STD -o" in export.what_next(unknown, model, None)[0]
    assert demo.what_next(Path("demo"))[1] == (
        "next: harden report demo/scan --model demo/model.onnx --data demo/clean.npz "
        "--hardened demo/hardened.json --bench demo/bench.json "
        "-o demo/report.html"
    )


def test_the_report_names_what_it_lacks(folder: Path) -> None:
    scan = hardener.open_scan(folder / "s")
    (repair,) = report.what_next(scan, None, None)
    # The scan's images are not there any more.
    assert repair == (
        "next: harden repair 'my models/m.onnx' --scan 'my models/s' --data CLEAN "
        "-o 'my models/hardened.onnx'"
    )
    (bench,) = report.what_next(scan, folder / "h.json", None)
    assert bench.startswith("next: harden bench 'my models/m.onnx' HARDENED.onnx --data TEST")
    (folder / "h.onnx").touch()
    (bench,) = report.what_next(scan, folder / "h.json", None)
    assert bench.startswith("next: harden bench 'my models/m.onnx' 'my models/h.onnx' --data TEST")
    assert report.what_next(scan, folder / "h.json", folder / "b.json") == []


def test_schemas_are_listed_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    shown = capsys.readouterr()
    assert "next" not in shown.out
    assert shown.err == "next: harden schema NAME prints one of them\n"
    assert run(["schema", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
