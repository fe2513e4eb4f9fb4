import numpy as np

from hardener.measuring.quality import Counts
from hardener.repairing.rounds import solid
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

WORKS, FAILS = Counts(100, 0, 80, 64, 0), Counts(100, 0, 80, 63, 0)


def _patch(opacity: float) -> Trigger:
    mask = np.zeros((1, 4, 4), np.float32)
    mask[0, :2, :2] = opacity
    return Trigger(mask, np.ones((3, 4, 4), np.float32), 0)


def test_squares_that_work_are_unlearnt_but_for_the_one_that_measures() -> None:
    square, measures, faint, fails = _patch(1), _patch(1), _patch(0.5), _patch(1)
    found: dict[SyntheticTrigger, Counts] = {
        square: WORKS,
        measures: WORKS,
        faint: WORKS,
        fails: FAILS,
    }
    assert solid(found, [measures]) == [square]
