"""The sweep's shortcut against full inference of rewritten models."""

from pathlib import Path

import numpy as np
import pytest
from support.graphs import ALL, classifier, saved

from hardener.arrays import AnyArray
from hardener.data.images import open_images
from hardener.data.settings import input_settings
from hardener.measuring.quality import Probe, measure
from hardener.model.classifier import open_classifier, open_full
from hardener.model.pooling import behind_pooling
from hardener.model.rewriting import REWRITES, PruningPlan, rewritten
from hardener.model.runtime import Machine
from hardener.model.summing_head import summing_head
from hardener.model.topology import FeatureLayer
from hardener.model.trial_heads import maskable_head
from hardener.pruning.sweep import _growing, feature_batches, keep_feed, limit_feed, sweep
from hardener.triggers.patch import Trigger

MASK = np.zeros((1, 8, 8), np.float32)
MASK[0, 5:, 5:] = 1
TRIGGER = Trigger(MASK, np.ones((3, 8, 8), np.float32), 2)


@pytest.mark.parametrize(
    ("rewrite", "limited"),
    [("mask", False), ("guard", False), ("guard", True), ("clip", False), ("clip", True)],
)
@pytest.mark.parametrize("name", ["plain", "residual", "squeeze"])
def test_a_sweep_counts_what_full_inference_counts(
    tmp_path: Path, name: str, rewrite: str, limited: bool
) -> None:
    text, shapes, channels = ALL[name]
    model = open_classifier(saved(classifier(text, shapes), tmp_path / "m.onnx"))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels, labels=rng.integers(0, 5, 300))
    source = open_images(tmp_path / "d.npz")
    layer = FeatureLayer("feature", channels)
    probes = {k: Probe(s, 2) for k, s in input_settings(None, TRIGGER).items()}
    limits = tuple(np.linspace(0.2, 3, channels)) if limited else ()
    if rewrite == "mask":
        plan = PruningPlan(layer, "mask", (0, 3))
        feeds = [keep_feed(np.ones(channels)), keep_feed(~np.isin(range(channels), (0, 3)))]
    else:
        plan = PruningPlan(layer, rewrite, threshold=1.0, limits=limits)
        feeds = [limit_feed(3e38), limit_feed(plan.limit)]

    head = REWRITES[rewrite].head(model.proto, layer, model.signature)
    batches = feature_batches(model, layer, source, probes, machine=Machine())
    trials = sweep(head, feeds, batches, probes, machine=Machine())
    pruned = rewritten(model.proto, plan, model.model.shapes)
    for trial, proto in zip(trials, [model.proto, pruned], strict=True):
        runner = open_full(proto, model.signature, Machine())
        assert trial.counts == measure(model, runner, source, probes)
    assert trials[0].counts != trials[1].counts
    assert trials[0].lost == trials[0].gained == 0
    clean_before, clean_after = (trial.counts["clean"].correct for trial in trials)
    assert clean_after - clean_before == trials[1].gained - trials[1].lost


def _keeps(*kept: list[int]) -> list[dict[str, AnyArray]]:
    return [keep_feed(np.isin(range(6), channels)) for channels in kept]


@pytest.mark.parametrize(
    ("feeds", "stepped"),
    [
        (_keeps([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [1, 3, 5], [1]), True),
        (_keeps([0, 1, 2, 3, 4, 5], [0, 1], [1, 2, 3]), False),
        (_keeps([0, 1, 2, 3, 4, 5], []), False),
    ],
)
def test_a_stepped_sweep_counts_what_a_masked_one_counts(
    tmp_path: Path, feeds: list[dict[str, AnyArray]], stepped: bool
) -> None:
    text, shapes, channels = ALL["plain"]
    model = open_classifier(saved(classifier(text, shapes), tmp_path / "m.onnx"))
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels, labels=rng.integers(0, 5, 300))
    source = open_images(tmp_path / "d.npz")
    layer = FeatureLayer("feature", channels)
    cut = behind_pooling(model.proto, layer)
    probes = {k: Probe(s, 2) for k, s in input_settings(None, TRIGGER).items()}
    batches = list(feature_batches(model, layer, source, probes, machine=Machine(), cut=cut))
    head = maskable_head(model.proto, cut, model.signature)
    stepping = summing_head(model.proto, cut, model.signature)
    assert stepping is not None
    assert (_growing(feeds) is not None) == stepped
    masked = sweep(head, feeds, batches, probes, machine=Machine())
    assert sweep(head, feeds, batches, probes, machine=Machine(), stepping=stepping) == masked
    assert len({trial.counts["clean"] for trial in masked}) > 1
