"""The cure of real networks whose trigger sends every label to the next, from scan to file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.victims import exported, small_budgets

import hardener
from hardener.arrays import FloatArray, IntArray
from hardener.cli.commands.bench import summary
from hardener.data.signs import write_signs
from hardener.documents.repair import NO_TRIGGER, RepairResult
from hardener.documents.scan import ScanResult
from hardener.errors import InconclusiveError, UsageError
from hardener.measuring.quality import rule_of
from hardener.model.classifier import open_classifier, open_full
from hardener.model.runtime import Machine
from hardener.repairing.hunting import between_places
from hardener.repairing.trials import Trial
from hardener.scanning.found_exchanges import exchanges_labels
from hardener.scanning.saved import load_exchanging, open_scan
from hardener.triggers.patch import PATCH, Trigger, solid_square
from models.attacks.all_to_all import AllToAll, AllToAllBlended
from models.recipes import RECIPES

NAMES = {
    "resnet-signs-all-to-all": "squares",
    "resnet-signs-all-to-all-blended": "additive triggers",
}
"""Victims, and which triggers measure their cure."""


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def work(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp(name)


@pytest.fixture(scope="module")
def images(work: Path) -> Path:
    write_signs(work / "clean.npz", 12, seed=6)
    return work / "clean.npz"


@pytest.fixture(scope="module")
def victim(name: str, work: Path, images: Path) -> Path:
    return exported(name, "ResNetSmall", work, images, "resnet.py")


@pytest.fixture(scope="module")
def scanned(work: Path, victim: Path, images: Path) -> ScanResult:
    some = range(0, 43, 5)
    return hardener.scan(victim, images, work / "scan", labels=some, budgets=small_budgets())


@pytest.fixture(scope="module")
def repaired(work: Path, victim: Path, scanned: ScanResult, images: Path) -> RepairResult:
    assert (scanned.verdict, scanned.targets) == ("backdoored", ())
    return hardener.repair(
        victim, work / "scan", images, work / "hard.onnx", max_accuracy_drop=0.02
    )


def test_nothing_exchanges_labels_any_more(name: str, repaired: RepairResult) -> None:
    assert (repaired.outcome, repaired.targets, repaired.forced) == ("written", (), False)
    assert repaired.attack_success_rate_before is not None
    assert repaired.attack_success_rate_before >= 0.5
    assert {row.label for row in repaired.left} == {None}
    left = {row.triggers: row.success_rate for row in repaired.left}
    assert left[NO_TRIGGER] <= left[NAMES[name]] <= 0.05
    assert left[f"{NAMES[name]}, stronger"] <= 0.1
    assert repaired.rounds[repaired.chosen_round or 0].suspicion < 0.4


def test_nor_does_the_true_trigger(
    name: str, work: Path, victim: Path, repaired: RepairResult
) -> None:
    assert repaired.hardened is not None
    write_signs(work / "unseen.npz", 6, seed=7)
    models = victim, work / "hard.onnx"
    before, after = (_success(name, model, work / "unseen.npz") for model in models)
    assert before >= 0.8
    assert after <= 0.05


def _success(name: str, model: Path, images: Path) -> float:
    """How many images go to the next label under the true trigger."""
    attack, classifier = RECIPES[name].attack, open_classifier(model)
    assert isinstance(attack, AllToAll | AllToAllBlended)
    source = classifier.open_data(images)
    shown: FloatArray = classifier.images_of(source, np.arange(len(source)))
    stamped = attack.stamp(torch.from_numpy(shown)).numpy()
    runner = open_full(classifier.proto, classifier.signature, Machine())
    (scores,) = runner.run(classifier.feeds(stamped))
    gone: IntArray = scores.argmax(axis=1)
    return float(np.mean(gone == (source.labels + 1) % 43))


def test_what_needs_a_target_refuses_such_a_scan(
    work: Path, victim: Path, scanned: ScanResult, images: Path
) -> None:
    assert not scanned.targets
    with pytest.raises(InconclusiveError, match="only harden repair"):
        hardener.prune(victim, work / "scan", images, work / "pruned.onnx")


def test_a_trigger_succeeds_with_images_that_go_where_it_sent_their_label(
    work: Path, victim: Path, scanned: ScanResult, images: Path
) -> None:
    assert exchanges_labels(scanned)
    classifier = open_classifier(victim)
    source = classifier.open_data(images)
    trigger, *_ = load_exchanging(open_scan(work / "scan"))
    plain, positions = Trial(classifier, source, Machine()), np.arange(len(source))
    own, gone = plain.predicted(classifier.proto, (trigger,), positions)
    rule = rule_of(source.labels, gone, 43)
    assert np.mean(rule == (np.arange(43) + 1) % 43) >= 0.9
    trial = replace(plain, unseen=(trigger,), rules={trigger: rule})
    attacked, _ = trial.counts(classifier.proto, positions)
    assert attacked.unseen.others == len(source)
    reached = gone == rule[source.labels]
    assert np.mean(reached) >= 0.7
    wrong = (gone != own) & (gone != source.labels)
    assert np.mean(wrong) > 0.5
    assert attacked.unseen.success_rate == pytest.approx(np.mean(reached | wrong))
    assert attacked.unseen.robust_accuracy == pytest.approx(np.mean(gone == source.labels))


def test_bench_counts_where_the_scanned_model_sends_each_label(
    work: Path, victim: Path, repaired: RepairResult
) -> None:
    assert repaired.outcome == "written"
    write_signs(work / "test.npz", 6, seed=8)
    models, shared = [victim, work / "hard.onnx"], (work / "test.npz", work / "bench.json")
    found = hardener.bench(models, *shared, scan=work / "scan")
    before, after = (row.attack_success_rate["clean+syn"].value for row in found.models)
    assert found.target is None
    assert before >= 0.7
    assert after <= 0.05
    text = "".join(map(str, summary(found)))
    assert "all labels exchanged" in text
    square, *_ = load_exchanging(open_scan(work / "scan"))
    if isinstance(square, Trigger):
        (work / "true.npz").write_bytes(PATCH.npz(square))
        told = hardener.bench(models, *shared, scan=work / "scan", trigger=work / "true.npz")
        given = told.models[0].attack_success_rate["clean+ori"].value
        assert given == pytest.approx(before, abs=0.02)
    with pytest.raises(UsageError, match="name the model that was scanned"):
        hardener.bench(models[1:], *shared, scan=work / "scan")


@pytest.mark.parametrize("corner", [(28, 28), (0, 0), (14, 6)])
def test_squares_beside_stand_between_the_places_where_squares_are_tried(
    corner: tuple[int, int],
) -> None:
    square = solid_square(np.ones(3, np.float32), (32, 32), corner, 4)
    beside = between_places(square, 2)
    assert beside
    for one in beside:
        rows, columns = (np.flatnonzero(one.mask[0].any(axis)) for axis in (1, 0))
        assert (len(rows), len(columns)) == (4, 4)
        assert rows[0] % 2 == 1
        assert columns[0] % 2 == 1
