"""Each command examines each model once and parses scan.json once."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier
from support.small import scanned_and_labelled

from hardener.cli import run
from hardener.documents.scan import ScanResult
from hardener.model import quarantine
from hardener.model.quarantine import Examination

RUN = ["--provider", "cpu", "--quiet"]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counter[str]:
    """How often each model was examined, and scan.json parsed; a scanned model lies there."""
    monkeypatch.chdir(tmp_path)
    scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path)
    other = onnx.load(tmp_path / "m.onnx")
    other.doc_string = "another file of the same model"
    onnx.save(other, tmp_path / "second.onnx")
    counts: Counter[str] = Counter()
    examine, read = quarantine.examine, ScanResult.read

    def examined(path: Path, *sizes: Sequence[float] | None) -> Examination:
        counts[Path(path).name] += 1
        return examine(path, *sizes)

    def parsed(path: Path) -> ScanResult:
        counts["scan.json"] += 1
        return read(path)

    monkeypatch.setattr(quarantine, "examine", examined)
    monkeypatch.setattr(ScanResult, "read", staticmethod(parsed))
    return counts


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "bench m.onnx second.onnx --data d.npz --scan s -o b.json --report page.html",
            {"m.onnx": 1, "second.onnx": 1, "scan.json": 1},
        ),
        ("bench m.onnx --data d.npz -o b.json", {"m.onnx": 1}),
        (
            "prune m.onnx --scan s --data d.npz -o h.onnx --max-accuracy-drop 0.9 "
            "--report page.html",
            {"m.onnx": 1, "h.onnx": 1, "scan.json": 1},
        ),
        (
            "report s --model m.onnx --data d.npz --beside second.onnx -o page.html",
            {"m.onnx": 1, "second.onnx": 1, "scan.json": 1},
        ),
        ("report s -o page.html", {"scan.json": 1}),
        ("scan m.onnx -o found", {"m.onnx": 1}),
    ],
)
def test_a_command_opens_everything_once(
    line: str, expected: dict[str, int], counted: Counter[str]
) -> None:
    words = line.split()
    assert run([*words, *RUN]) in (0, 1, 3)
    if "--report" in words or words[0] == "report":
        assert Path("page.html").is_file()
    assert counted == expected
