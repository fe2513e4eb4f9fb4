import numpy as np
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, images, shapes_of

from hardener.arrays import BoolArray
from hardener.data.settings import CLEAN
from hardener.measuring.quality import Counts, Probe
from hardener.model.channel_masks import mask_feeds, maskable_model
from hardener.model.convolutions import find_convolutions
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.pruning.convolution_sweep import InputBatch, sweep_convolutions
from hardener.pruning.sweep import Trial

KEPT = [np.arange(6) >= gone for gone in range(6)]


def _swept(kept: list[BoolArray], max_accuracy_drop: float) -> tuple[list[Trial], list[int]]:
    """Images that the model itself labels, so that it is never wrong, and an attack of noise."""
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    found = find_convolutions(model, read_signature(model), shapes_of(model)).usable
    plain = open_runner(model, Machine())
    batches = []
    for seed in (1, 2):
        clean, noise = images(30, seed), images(30, seed + 7)
        labels = plain.run({"x": clean})[0].argmax(axis=1)
        batches.append(InputBatch(labels, {"attack": {"x": noise}, CLEAN: {"x": clean}}))
    told: list[int] = []
    trials = sweep_convolutions(
        open_runner(maskable_model(model, found, "logits"), Machine()),
        [mask_feeds(found, [own]) for own in kept],
        batches,
        {"attack": Probe((), 2), CLEAN: Probe()},
        max_accuracy_drop,
        told.append,
    )
    return trials, told


def test_every_trial_counts_all_images_under_all_probes() -> None:
    trials, told = _swept(KEPT, 1.0)
    assert [trial.counts[CLEAN].n for trial in trials] == [60] * 6
    assert (trials[0].counts[CLEAN].correct, trials[0].lost, trials[0].gained) == (60, 0, 0)
    for trial in trials:
        assert trial.lost - trial.gained == 60 - trial.counts[CLEAN].correct
        assert trial.counts["attack"].others < 60
    assert trials[-1].lost > 0
    assert trials[-1].counts["attack"] != trials[0].counts["attack"]
    assert trials[0].counts[CLEAN] == Counts(60, 60)
    assert told == [1] * 6


def test_the_sweep_ends_far_beyond_the_budget() -> None:
    trials, told = _swept(KEPT, 0.0)
    lost = [60 - trial.counts[CLEAN].correct for trial in trials]
    assert len(trials) < 6
    assert all(count <= 6 for count in lost[:-1])
    assert lost[-1] > 6
    assert sum(told) == 6
