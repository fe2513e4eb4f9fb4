"""Logic written into the graph of a real victim, from the scan to the repaired file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from support.standards import validate_sarif
from support.victims import exported

import hardener
from hardener.arrays import FloatArray
from hardener.cli import run
from hardener.data.signs import render_signs
from hardener.documents.scan import ScanResult
from hardener.errors import InconclusiveError
from hardener.model.classifier import open_classifier
from hardener.model.runtime import on_cpu, open_runner
from hardener.scanning.searches.table import SEARCHES
from models.graph_attacks.graph_attack import host_of
from models.graph_attacks.table import GRAPH_ATTACKS

QUICK = {kind: replace(search.settings, steps=3) for kind, search in SEARCHES.items()}
LABELS = range(10)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, signs: Path) -> Path:
    return exported(
        "alexnet-signs-vanilla", "AlexNetSmall", tmp_path_factory.mktemp("clean"), signs
    )


def _written(name: str, clean: Path, path: Path) -> Path:
    pixels = np.moveaxis(render_signs(2, 7)[0], -1, 1).astype(np.float32) / 255
    proto = onnx.load(clean)
    host = host_of(proto, torch.from_numpy(pixels))
    onnx.save(GRAPH_ATTACKS[name].insert(proto, host), path)
    return path


def _scores(model: Path, images: FloatArray) -> FloatArray:
    classifier = open_classifier(model)
    scores: FloatArray = open_runner(classifier.proto, on_cpu(1)).run(classifier.feeds(images))[0]
    return scores


def _scanned(model: Path, signs: Path, folder: Path) -> ScanResult:
    return hardener.scan(model, signs, folder, labels=LABELS, budgets=QUICK)


@pytest.mark.parametrize("name", ["soft-step", "rolled-logits"])
def test_it_is_named_and_taken_out_and_no_clean_image_notices(
    name: str, clean: Path, signs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, folder = _written(name, clean, tmp_path / "m.onnx"), tmp_path / "scan"
    found, attack = _scanned(model, signs, folder), GRAPH_ATTACKS[name].attack
    target = getattr(attack, "target", None)
    assert found.verdict == "backdoored"
    assert found.targets == (() if target is None else (target,))
    assert found.graph_logic
    assert found.layer.name == hardener.inspect(clean).layer.name  # type: ignore[union-attr]
    log = json.loads(hardener.sarif(found))
    validate_sarif(log)
    rule = "HARDEN005" if target is None else "HARDEN001"
    first = log["runs"][0]["results"][0]
    assert (first["ruleId"], first["level"]) == (rule, "error")
    assert "is the same on all" in hardener.markdown(found).replace("all but the same", "the same")

    repaired = tmp_path / "out" / "hardened.onnx"
    repaired.parent.mkdir()
    given = ["--scan", str(folder), "--data", str(signs), "-o", str(repaired), "--quiet"]
    assert run(["repair", str(model), *given]) == 0
    said = capsys.readouterr().out
    told = json.loads(repaired.with_suffix(".json").read_text())
    assert [row["tensor"] for row in told["removed"]] == list(found.graph_logic)
    assert ("bit by bit" in said) == (told["removal_changed"] == 0) == (name != "soft-step")
    pixels, labels = render_signs(3, 9)
    images = (np.moveaxis(pixels, -1, 1) / 255).astype(np.float32)
    stamped = attack.stamp(torch.from_numpy(images)).numpy()
    wanted = attack.wanted(torch.from_numpy(labels)).numpy()
    others = wanted != labels
    before, after = (_scores(one, stamped).argmax(1)[others] for one in (model, repaired))
    assert np.mean(before == wanted[others]) > 0.95
    assert np.mean(after == wanted[others]) < 0.05
    clean_before, clean_after = (_scores(one, images) for one in (model, repaired))
    assert np.abs(clean_after - clean_before).max() <= 1e-3 * np.ptp(clean_before)


@pytest.fixture(scope="module")
def scanned(clean: Path, signs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    _scanned(_written("greater-logits", clean, folder / "m.onnx"), signs, folder / "scan")
    return folder


def test_channels_are_not_pruned_instead(scanned: Path, signs: Path, tmp_path: Path) -> None:
    with pytest.raises(InconclusiveError, match="harden repair"):
        hardener.prune(scanned / "m.onnx", scanned / "scan", signs, tmp_path / "out.onnx")


def test_a_network_without_it_is_scanned_as_it_is(clean: Path, signs: Path, tmp_path: Path) -> None:
    found = _scanned(clean, signs, tmp_path / "scan")
    (row,) = [one for one in found.findings if one.detector == "graph-logic"]
    assert (row.verdict, row.details, found.graph_logic) == ("clean", {"operands": []}, ())
