"""A scan as SARIF, against the standard's own schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.scans import some_scan
from support.standards import validate_sarif

from hardener.documents.scan import ScanResult, SquareEvidence
from hardener.reporting.sarif import sarif

SQUARE = SquareEvidence(
    top=1, left=2, side=3, colour=(1.0, 0.0, 0.0), moved=0.9, labels=40, scattered=0.8
)
COMPLETE: dict[str, object] = {
    "moving": SQUARE.model_dump(),
    "margins": {"largest": (1.0, 2.0, 3.0), "suspect": 2, "p_value": 0.5},
    "last_layer": {"mean_weights": (0.0,) * 3, "anomaly_indices": (0.0,) * 3, "suspect": 0},
}


def _run(result: ScanResult, root: Path | None = None) -> dict[str, Any]:
    log = json.loads(sarif(result, root))
    validate_sarif(log)
    (run,) = log["runs"]
    found: dict[str, Any] = run
    return found


def _found(result: ScanResult) -> list[tuple[str, str]]:
    return [(one["ruleId"], one["level"]) for one in _run(result)["results"]]


def _prints(result: ScanResult) -> list[dict[str, str]]:
    return [one["partialFingerprints"] for one in _run(result)["results"]]


def test_every_target_is_an_error_with_the_scans_sentences() -> None:
    reasons = ("label 0 has a small trigger", "that is what a backdoor leaves behind")
    run = _run(some_scan(targets=(0, 2), reasons=reasons, **COMPLETE))
    assert [(one["ruleId"], one["level"]) for one in run["results"]] == [("HARDEN001", "error")] * 2
    assert [one["properties"]["label"] for one in run["results"]] == [0, 2]
    for one in run["results"]:
        assert all(reason in one["message"]["text"] for reason in reasons)
        assert run["tool"]["driver"]["rules"][one["ruleIndex"]]["id"] == one["ruleId"]
        assert one["properties"]["score"] == 0.9
        assert one["properties"]["seed"] == 0
    (artifact,) = run["artifacts"]
    assert artifact["location"] == {"uri": "m.onnx", "uriBaseId": "%SRCROOT%"}
    assert artifact["hashes"] == {"sha-256": "0" * 64}
    (invocation,) = run["invocations"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (True, 1)
    assert invocation["endTimeUtc"] == "2026-01-02T03:04:05Z"
    assert run["tool"]["driver"]["version"] == some_scan().tool.version


def test_a_backdoor_without_a_target_is_an_error_too() -> None:
    assert _found(some_scan(targets=(), **COMPLETE)) == [("HARDEN002", "error")]


@pytest.mark.parametrize("more", [COMPLETE, {}])
def test_a_clean_scan_has_no_result(more: dict[str, object]) -> None:
    run = _run(some_scan(verdict="clean", targets=(), **more))
    assert run["results"] == []
    assert run["invocations"][0]["exitCode"] == 0
    said = run["invocations"][0]["toolExecutionNotifications"]
    assert len(said) == (0 if more else 3)


@pytest.mark.parametrize("targets", [(), (0,)])
@pytest.mark.parametrize("more", [COMPLETE, {}])
def test_an_inconclusive_scan_always_has_one(
    targets: tuple[int, ...], more: dict[str, object]
) -> None:
    result = some_scan(verdict="inconclusive", targets=targets, **more)
    assert _found(result)[0] == ("HARDEN003", "warning")
    assert _run(result)["invocations"][0]["exitCode"] == 3


def test_what_was_skipped_is_a_note() -> None:
    screened = {"label": 9, "searched": False, "screening_rank": 4}
    rows = [*some_scan().model_dump()["labels"], screened]
    unreadable = {"path": "d.zip", "sha256": "0" * 64, "count": 6, "unreadable": ("x.png",)}
    found = _found(some_scan(labels=rows, data=unreadable))
    assert found == [("HARDEN001", "error"), *[("HARDEN004", "note")] * 5]
    alone = some_scan(**COMPLETE | {"data": None, "accuracy": None, "labels": (), "moving": None})
    assert _found(alone) == [("HARDEN001", "error"), ("HARDEN004", "note")]


def test_a_finding_is_known_again_whatever_else_changed() -> None:
    before = _prints(some_scan(targets=(0, 2)))
    assert len({one["primaryLocationLineHash"] for one in before}) == len(before)
    again = some_scan(
        targets=(2, 0),
        score=0.91234,
        seed=7,
        created="2027-01-01T00:00:00+00:00",
        accuracy=0.91,
        reasons=("another sentence",),
        model={"path": "elsewhere/other.onnx", "sha256": "0" * 64},
    )
    assert sorted(map(str, _prints(again))) == sorted(map(str, before))
    other = some_scan(targets=(0, 2), model={"path": "m.onnx", "sha256": "1" * 64})
    assert not set(map(str, _prints(other))) & set(map(str, before))


@pytest.mark.parametrize(
    ("path", "root", "uri"),
    [
        ("models/a b#1?%.onnx", None, "models/a%20b%231%3F%25.onnx"),
        ("./models//m.onnx", None, "models/m.onnx"),
        ("c:evil.onnx", None, "c%3Aevil.onnx"),
        ("modèle.onnx", None, "mod%C3%A8le.onnx"),
        ("line\nbreak<x>.onnx", None, "line%0Abreak%3Cx%3E.onnx"),
        ("/build/models/m.onnx", "/build", "models/m.onnx"),
        ("models/m.onnx", "/build", "models/m.onnx"),
        ("/home/someone/m.onnx", "/build", "m.onnx"),
        ("/home/someone/m.onnx", None, "m.onnx"),
        ("../above/m.onnx", "/build", "m.onnx"),
    ],
)
def test_the_location_is_a_relative_uri(path: str, root: str | None, uri: str) -> None:
    result = some_scan(model={"path": path, "sha256": "0" * 64})
    run = _run(result, None if root is None else Path(root))
    assert run["artifacts"][0]["location"]["uri"] == uri
    place = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place["uri"] == uri


def test_a_message_holds_no_link_and_no_placeholder() -> None:
    hostile = "layer [mended](https://evil.example) {0} \x1b[31m\u202ered\nnext line"
    text = _run(some_scan(reasons=(hostile,)))["results"][0]["message"]["text"]
    assert "](" not in text
    assert "{{0}}" in text
    assert text.isprintable()


def test_the_same_scan_is_the_same_text() -> None:
    first = some_scan()
    assert sarif(ScanResult.model_validate_json(first.to_json())) == sarif(first)


def test_a_time_that_is_none_is_left_out() -> None:
    assert "endTimeUtc" not in _run(some_scan(created="yesterday"))["invocations"][0]
