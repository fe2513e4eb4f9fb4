import numpy as np
import pytest
from support.scans import scan_of

from hardener.documents.repair import RepairRound
from hardener.measuring.quality import Counts
from hardener.repairing.trials import Attacked, is_small, misled, round_of, stronger
from hardener.scanning.calibration import shipped
from hardener.scanning.rescoring import suspicion_again
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp

WORKS, FAILS = Counts(100, 0, 80, 64, 0), Counts(100, 0, 80, 63, 0)


def _patch(pixels: int) -> Trigger:
    mask = np.zeros((1, 4, 4), np.float32)
    mask.flat[:pixels] = 1
    return Trigger(mask, np.ones((3, 4, 4), np.float32), 0)


def _additive(norm: float) -> AdditiveTrigger:
    perturbation = np.zeros((3, 4, 4), np.float32)
    perturbation[0, 0, 0] = norm
    return AdditiveTrigger(perturbation, 0)


def _warp(rms: float) -> Warp:
    return Warp(np.full((2, 2, 2), rms, np.float32), 0)


LABELS, RULE = np.array([0, 1, 2, 3] * 3), np.array([1, 2, 3, 0])


def test_where_most_images_go_wrong_all_of_those_count() -> None:
    """A cure that sent them all to one label would have ended nothing."""
    assert misled(LABELS, LABELS, np.zeros_like(LABELS)).mean() == 0.75
    assert not misled(LABELS, RULE[LABELS], LABELS).any()
    some = LABELS.copy()
    some[:6] = RULE[LABELS[:6]]
    assert not misled(LABELS, LABELS, some).any()


def _round() -> RepairRound:
    right = np.ones(100, np.bool_)
    attacked = Attacked(
        Counts(100, 96), right, Counts(100, 0, 80, 8, 60), Counts(100, 0, 80, 20, 50)
    )
    return round_of(attacked, 0.25, 3)


def test_rates_are_fractions_of_the_images_that_count() -> None:
    found = _round()
    assert (found.triggers, found.accuracy, found.suspicion) == (3, 0.96, 0.25)
    assert (found.attack_success_rate, found.robust_accuracy) == (0.1, 0.75)
    assert found.strengthened_success_rate == 0.25


def test_a_small_trigger_that_works_looks_like_a_backdoor() -> None:
    warps = [Warp(np.zeros((2, 2, 2), np.float32), label) for label in range(12)]
    faint = [AdditiveTrigger(np.full((3, 4, 4), 0.01, np.float32), label) for label in range(12)]
    patches = [
        Trigger(np.ones((1, 4, 4), np.float32), np.ones((3, 4, 4), np.float32), label)
        for label in range(12)
    ]
    scan = scan_of([*patches, *faint, *warps], 0)
    every, few = (Counts(100, 0, 80, hits, 0) for hits in (80, 20))
    assert suspicion_again(scan, {_additive(0.1): every}) >= 0.6
    assert suspicion_again(scan, {_additive(0.1): few}) < 0.6


def test_twice_of_a_small_trigger_is_tried_and_of_a_large_one_itself() -> None:
    scan = scan_of([_patch(1), _additive(1), _warp(1)], 0)
    small, large = _additive(0.15), _additive(0.3)
    assert stronger(small, scan).size == pytest.approx(0.3)
    assert stronger(large, scan) is large


def test_triggers_that_are_more_likely_innocent_than_planted_are_left_out() -> None:
    scan = scan_of([_patch(1), _additive(1), _warp(1)], 0)
    even = shipped().kinds["additive"].even
    small, large, larger = _additive(even - 0.01), _additive(even + 0.01), _patch(9)
    assert [is_small(one, scan) for one in (small, large, larger)] == [True, False, False]
