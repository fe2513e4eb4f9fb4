"""The main job on real traffic signs, against what the project promises for it.

Scan and prune see validation images alone; test images and the true trigger only report.
"""

import zipfile
from pathlib import Path

import onnx
import pytest
from support.victims import WEIGHTS, exported, small_budgets

import hardener
from hardener.documents.bench import BenchResult
from hardener.documents.prune import PruneResult
from hardener.documents.scan import ScanResult

VICTIM = WEIGHTS / "alexnet-gtsrb-badnets"


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gtsrb")


@pytest.fixture(scope="module")
def victim(gtsrb: Path, work: Path) -> Path:
    return exported("alexnet-gtsrb-badnets", "AlexNet", work, gtsrb / "gtsrb32-valid.zip")


@pytest.fixture(scope="module")
def scanned(victim: Path, gtsrb: Path, work: Path) -> ScanResult:
    # Every fourth label takes the way of all of them; small budgets bring each far enough.
    return hardener.scan(
        victim,
        gtsrb / "gtsrb32-valid.zip",
        work / "scan",
        labels=range(0, 43, 4),
        budgets=small_budgets(),
    )


@pytest.fixture(scope="module")
def pruned(victim: Path, scanned: ScanResult, gtsrb: Path, work: Path) -> PruneResult:
    assert scanned.verdict == "backdoored"
    clean = _every_fourth(gtsrb / "gtsrb32-valid.zip", work / "valid.zip")
    return hardener.prune(
        victim, work / "scan", clean, work / "hard.onnx", criterion="linf-gap", rewrite="fold"
    )


@pytest.fixture(scope="module")
def benched(victim: Path, pruned: PruneResult, gtsrb: Path, work: Path) -> BenchResult:
    assert pruned.hardened is not None
    return hardener.bench(
        [victim, Path(pruned.hardened.path)],
        _every_fourth(gtsrb / "gtsrb32-test.zip", work / "test.zip"),
        work / "bench.json",
        trigger=VICTIM.with_suffix(".trigger.npz"),
        scan=work / "scan",
    )


def _every_fourth(images: Path, output: Path) -> Path:
    """A zip of every fourth of another zip's pictures, class by class."""
    with zipfile.ZipFile(images) as every, zipfile.ZipFile(output, "w") as some:
        pictures = sorted(name for name in every.namelist() if not name.endswith("/"))
        for name in pictures[::4]:
            some.writestr(name, every.read(name))
    return output


def test_the_backdoor_and_its_target_are_found(scanned: ScanResult) -> None:
    assert (scanned.verdict, scanned.targets) == ("backdoored", (8,))


def test_pruning_by_the_gap_keeps_accuracy_and_stops_the_true_trigger(
    benched: BenchResult,
) -> None:
    before, after = benched.models
    assert before.accuracy.n == 3158
    assert before.accuracy.value >= 0.965
    assert before.attack_success_rate["clean+ori"].value >= 0.8
    assert before.accuracy.value - after.accuracy.value <= 0.02
    assert after.attack_success_rate["clean+ori"].value <= 0.15
    assert after.robust_accuracy["clean+ori"].value > before.robust_accuracy["clean+ori"].value


def test_folding_adds_no_node(victim: Path, pruned: PruneResult) -> None:
    assert pruned.hardened is not None
    before, after = onnx.load(victim), onnx.load(pruned.hardened.path)
    assert [node.op_type for node in after.graph.node] == [n.op_type for n in before.graph.node]
