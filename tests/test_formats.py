"""What `--format` prints, of real commands on real files, beside what the documents say."""

import json
from pathlib import Path

import onnx
import pytest
from jsonschema import Draft202012Validator
from support import written_logic
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved
from support.shares import even_sums, share_model
from support.small import labelled_by, scanned_and_labelled
from support.standards import validate_sarif

import hardener
from hardener.cli import run

WEIGHTS = Path(__file__).resolve().parent.parent / "models"
COMMANDS: dict[str, list[str]] = {
    "inspect": ["inspect", "m.onnx"],
    "scan": ["scan", "m.onnx", "--data", "d.npz", "-o", "new"],
    "scan without images": ["scan", "m.onnx", "-o", "alone"],
    "prune": [
        *("prune", "m.onnx", "--scan", "s", "--data", "d.npz", "-o", "p.onnx"),
        *("--threshold", "-5.9", "--force"),
    ],
    "prune of channels": ["prune", "m.onnx", "--channels", "1,4", "-o", "c.onnx"],
    "prune of nothing": [
        *("prune", "m.onnx", "--scan", "s", "--data", "d.npz", "-o", "n.onnx"),
        *("--threshold", "1000"),
    ],
    "repair": [
        *("repair", "m.onnx", "--scan", "s", "--data", "d.npz", "-o", "r.onnx"),
        *("--rounds", "1", "--force"),
    ],
    "bench": ["bench", "m.onnx", "--data", "d.npz", "--scan", "s", "-o", "b.json"],
    "export": [
        *("export", str(WEIGHTS / "weights" / "alexnet-signs-badnets.safetensors")),
        *("--arch", f"{WEIGHTS / 'alexnet.py'}:AlexNetSmall", "-o", "e.onnx"),
    ],
}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a small model, its scan and its images."""
    scanned_and_labelled(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("workplace")
def test_what_a_command_prints_as_json_validates(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*COMMANDS[name], "--format", "json"]) != 2
    document = json.loads(capsys.readouterr().out)
    validator = Draft202012Validator(hardener.schema(name.split(maxsplit=1)[0]))
    validator.validate(document)
    for field in document:
        assert not validator.is_valid({key: document[key] for key in document if key != field})
        assert not validator.is_valid(document | {"a_field_of_no_version": 1})


@pytest.mark.parametrize("name", ["prune", "bench"])
def test_what_a_command_writes_validates_too(name: str, workplace: Path) -> None:
    assert run([*COMMANDS[name], "--quiet"]) == 0
    written = workplace / {"prune": "p.json", "bench": "b.json"}[name]
    Draft202012Validator(hardener.schema(name)).validate(json.loads(written.read_text()))


def _of_twelve_labels(verdict: str) -> onnx.ModelProto:
    """One that a scan without images leaves open, or whose graph sends images to label 3."""
    if verdict == "inconclusive":
        return share_model(even_sums(12))
    row = [[1e4 * (label == 3) for label in range(12)]]
    text = written_logic.written("where").replace(",5]", ",12]")
    return classifier(
        text, written_logic.shapes("where") | {"w2": (12, 96), "b2": (12,), "huge": row}
    )


@pytest.mark.parametrize("verdict", ["backdoored", "inconclusive"])
def test_a_scan_prints_itself_as_sarif_and_as_markdown(
    verdict: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my models").mkdir()
    model = saved(_of_twelve_labels(verdict), tmp_path / "my models" / "m|1.onnx")
    arguments = ["scan", str(model), "-o", "s", "--mean", "0.5", "--std", "0.25"]
    if verdict == "backdoored":
        arguments += ["--data", str(labelled_by(model, tmp_path))]
    arguments += ["--format"]
    code = {"backdoored": 1, "inconclusive": 3}[verdict]
    assert run([*arguments, "sarif"]) == code
    shown = capsys.readouterr()
    assert "provider: cpu" in shown.err
    scanned = hardener.load_scan("s")
    assert shown.out == hardener.sarif(scanned, tmp_path)
    log = json.loads(shown.out)
    validate_sarif(log)
    (found,) = log["runs"]
    assert found["artifacts"][0]["location"]["uri"] == "my%20models/m%7C1.onnx"
    assert found["invocations"][0]["exitCode"] == code
    first = {"backdoored": ("HARDEN001", "error"), "inconclusive": ("HARDEN003", "warning")}
    assert (found["results"][0]["ruleId"], found["results"][0]["level"]) == first[verdict]
    assert found["results"][-1]["ruleId"] == "HARDEN004"

    assert run([*arguments, "markdown", "--quiet"]) == code
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out == hardener.markdown(hardener.load_scan("s"))
    assert shown.out.startswith(f"### harden scan: {verdict}")
    assert "m\\|1.onnx" in shown.out

    assert run([*arguments, "sarif"]) == code
    again = json.loads(capsys.readouterr().out)
    for whole in (log, again):
        del whole["runs"][0]["invocations"][0]["endTimeUtc"]
    assert again == log


@pytest.mark.parametrize(
    "name", ["prune", "prune of channels", "prune of nothing", "repair", "bench"]
)
def test_markdown_is_all_there_is_on_standard_output(
    name: str, workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*COMMANDS[name], "--format", "markdown"]) == (name == "prune of nothing")
    out = capsys.readouterr().out
    assert out.startswith(f"### harden {name.split(maxsplit=1)[0]}: ")
    assert out.endswith("on cpu\n")
    assert "next: harden" not in out
    assert (workplace / "m.onnx").is_file()


@pytest.mark.parametrize(
    ("command", "chosen"),
    [("prune", "sarif"), ("bench", "sarif"), ("inspect", "markdown"), ("export", "markdown")],
)
def test_a_format_that_a_command_has_not_is_refused(
    command: str, chosen: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*COMMANDS[command], "--format", chosen]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"'{chosen}' is not one of" in shown.err


@pytest.mark.parametrize("chosen", ["sarif", "markdown"])
def test_what_cannot_be_scanned_prints_no_document(
    chosen: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, folder = str(tmp_path / "none.onnx"), str(tmp_path / "s")
    assert run(["scan", missing, "-o", folder, "--format", chosen]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
