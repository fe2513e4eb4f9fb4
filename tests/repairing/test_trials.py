import numpy as np
import pytest
from support.scans import scan_of

from hardener.documents.repair import RepairRound
from hardener.measuring.quality import Counts
from hardener.repairing.trials import Attacked, round_of
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import SyntheticTrigger
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


def _round(left: dict[SyntheticTrigger, Counts]) -> RepairRound:
    attacked = Attacked(Counts(100, 96), Counts(100, 0, 80, 8, 60), Counts(100, 0, 80, 20, 50))
    return round_of(attacked, left, scan_of([_patch(1), _additive(1), _warp(1)], 0), 3)


def test_rates_are_fractions_of_the_images_that_count() -> None:
    found = _round({})
    assert (found.triggers, found.accuracy) == (3, 0.96)
    assert (found.attack_success_rate, found.robust_accuracy) == (0.1, 0.75)
    assert found.strengthened_success_rate == 0.25


def test_the_smallest_trigger_that_works_speaks_for_its_kind() -> None:
    left: dict[SyntheticTrigger, Counts] = {
        _patch(1): FAILS,
        _patch(2): WORKS,
        _patch(3): WORKS,
        _additive(0.25): WORKS,
        _additive(0.5): WORKS,
        _additive(0.125): FAILS,
        _warp(0.5): WORKS,
        _warp(0.75): WORKS,
        _warp(0.25): FAILS,
    }
    found = _round(left)
    assert found.patch_relative_size == pytest.approx(2)
    assert found.additive_relative_size == pytest.approx(0.25)
    assert found.warp_relative_size == pytest.approx(0.5)


def test_where_none_works_none_is_left() -> None:
    found = _round({_patch(1): FAILS, _additive(0.1): FAILS, _warp(0.1): FAILS})
    assert found.patch_relative_size is None
    assert found.additive_relative_size is None
    assert found.warp_relative_size is None
