"""What is registered in a table is known everywhere: toy kinds, each one line."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
from support.graphs import (
    DEPTHWISE,
    DEPTHWISE_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    classifier,
    shapes_of,
)

from hardener.data.settings import CLEAN
from hardener.model.convolutions import find_convolutions
from hardener.model.rewriting import REWRITES, Rewrite
from hardener.model.signature import read_signature
from hardener.pruning.candidate import Choosing
from hardener.pruning.convolution_scores import (
    CONVOLUTION_CRITERIA,
    ConvolutionCriterion,
    looked_at,
    scores_of,
)
from hardener.pruning.criteria import CRITERIA, Criterion
from hardener.pruning.named import prune_channels
from hardener.pruning.options import pruning_options
from hardener.scanning.activations import ChannelNorms
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.detectors.table import DETECTORS
from hardener.scanning.finding import Finding
from hardener.scanning.look import Look
from hardener.scanning.planning import plan_for
from hardener.scanning.saved import load_scan
from hardener.scanning.scan import scan
from hardener.scanning.searches.family_search import FamilySearch
from hardener.scanning.searches.patches import PATCH_SEARCH
from hardener.scanning.searches.table import SEARCHES
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind


def test_a_new_layer_criterion_needs_no_norm_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Criterion(lambda _clean, triggered: -triggered.linf.max)
    monkeypatch.setitem(cast("dict[str, Criterion]", CRITERIA), "toy", toy)
    values = np.array([[1, 2, 3]], np.float32)
    norms = ChannelNorms.of(values, values, values)
    options = pruning_options("toy", {CLEAN: norms, "clean+syn": norms})
    # Larger goes first: channel 0 has the largest score.
    assert [option.channels for option in options] == [(), (), (0,), (0, 1)]


def test_a_new_convolution_criterion_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def ones(_choosing: Choosing, convolutions: object) -> list[np.ndarray]:
        del convolutions
        return [np.ones(3, np.float32)]

    toy = ConvolutionCriterion(ones, last_alone=True)
    table = cast("dict[str, ConvolutionCriterion]", CONVOLUTION_CRITERIA)
    monkeypatch.setitem(table, "toy", toy)
    model = classifier(DEPTHWISE, DEPTHWISE_SHAPES)
    found = find_convolutions(model, read_signature(model), shapes_of(model))
    last = looked_at("toy", found, None)
    assert [one.layer.name for one in last] == ["feature"]
    (scores,) = scores_of("toy", cast("Choosing", None), last)
    assert scores.tolist() == [1, 1, 1]


def test_the_plan_for_many_labels_counts_the_steps_of_every_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = plan_for(200, 3 * 64 * 64)
    dear = replace(PATCH_SEARCH, settings=replace(PATCH_SEARCH.settings, steps=120))
    monkeypatch.setitem(cast("dict[str, FamilySearch]", SEARCHES), "toy", dear)
    dearer = plan_for(200, 3 * 64 * 64)
    assert usual is not None
    assert dearer is not None
    assert dearer.searched * dearer.images_per_step < usual.searched * usual.images_per_step


def test_every_family_has_a_search() -> None:
    assert list(SEARCHES) == list(FAMILIES)
    kinds: list[TriggerKind] = [search.family.name for search in SEARCHES.values()]
    assert kinds == list(FAMILIES)


def test_a_new_rewrite_writes_checks_and_is_inspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = replace(REWRITES["mask"], instead=", use mask")
    monkeypatch.setitem(cast("dict[str, Rewrite]", REWRITES), "toy", toy)
    model = tmp_path / "model.onnx"
    onnx.save(classifier(DEPTHWISE, DEPTHWISE_SHAPES), model)
    result = prune_channels(model, [1], tmp_path / "out.onnx", rewrite="toy")
    assert (result.rewrite, result.outcome) == ("toy", "written")


def test_a_new_detector_is_weighed_with_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(look: Look) -> Finding:
        scores = np.zeros(look.subject.classifier.signature.classes, np.float32)
        scores[1] = 0.9
        return Finding(
            scores, accuses="has a toy's name", closing="toys do that", details={"seen": [1]}
        )

    toy = Detector(run, needs_images=False, costs=lambda _: {"toying": 1.0})
    monkeypatch.setitem(cast("dict[str, Detector]", DETECTORS), "toy", toy)
    onnx.save(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    plain = [{"mean": (0.0,), "std": (1.0,)}]
    found = scan(tmp_path / "m.onnx", None, tmp_path / "s", preprocessing=plain, provider="cpu")
    assert (found.verdict, found.targets, found.suspect) == ("backdoored", (1,), 1)
    assert found.score == pytest.approx(0.9)
    assert {"label 1 has a toy's name", "toys do that"} <= set(found.reasons)
    rows = {row.detector: row for row in load_scan(tmp_path / "s").findings}
    assert set(rows) == {"margins", "last-layer", "toy"}
    assert (rows["toy"].verdict, rows["toy"].details) == ("backdoored", {"seen": [1]})
    assert rows["toy"].against == ("label 1 has a toy's name",)
    assert rows["margins"].verdict == "inconclusive"  # of too few labels to tell


def test_every_terminal_can_show_a_familys_size() -> None:
    assert all(family.size_shown.isascii() for family in FAMILIES.values())
