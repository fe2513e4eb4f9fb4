import numpy as np
import pytest

from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.families import strengthened
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp


def _patch(row: int, column: int, opacity: float) -> Trigger:
    """One pixel, reddish, on a pattern that is green elsewhere."""
    mask, pattern = np.zeros((1, 6, 6), np.float32), np.zeros((3, 6, 6), np.float32)
    mask[0, row, column] = opacity
    pattern[1] = 0.8
    pattern[:, row, column] = 0.9, 0.4, 0.2
    return Trigger(mask, pattern, 3)


def test_a_patch_grows_by_a_pixel_and_keeps_its_colour() -> None:
    found = strengthened(_patch(2, 3, 0.3))
    assert isinstance(found, Trigger)
    assert found.label == 3
    grown = np.zeros((6, 6), np.float32)
    grown[1:4, 2:5] = 0.6
    np.testing.assert_allclose(found.mask[0], grown, rtol=1e-6)
    assert (found.pattern[:, 1:4, 2:5].reshape(3, -1).T == [1, 0, 0]).all()


def test_a_patch_is_opaque_at_most_and_stays_within_the_image() -> None:
    found = strengthened(_patch(5, 5, 0.9))
    assert isinstance(found, Trigger)
    assert found.mask.sum() == 4
    assert found.mask[0, 4:, 4:].min() == 1


def test_a_pixel_goes_by_its_strongest_neighbour() -> None:
    two = _patch(2, 2, 0.4)
    two.mask[0, 2, 3], two.pattern[:, 2, 3] = 0.2, (0, 0, 1)
    found = strengthened(two)
    assert isinstance(found, Trigger)
    assert found.mask[0, 2, 3] == pytest.approx(0.8)
    assert found.pattern[:, 2, 3].tolist() == [1, 0, 0]
    assert found.pattern[:, 2, 4].tolist() == [0, 0, 1]


def test_perturbations_and_warps_are_doubled_within_their_range() -> None:
    faint = strengthened(AdditiveTrigger(np.full((3, 2, 2), -0.3, np.float32), 1))
    assert isinstance(faint, AdditiveTrigger)
    np.testing.assert_allclose(faint.perturbation, -0.6)
    opaque = strengthened(AdditiveTrigger(np.full((3, 2, 2), -0.7, np.float32), 1))
    assert isinstance(opaque, AdditiveTrigger)
    assert (opaque.perturbation == -1).all()
    warp = strengthened(Warp(np.full((2, 2, 2), 0.7, np.float32), 1))
    assert isinstance(warp, Warp)
    assert (warp.displacements == 1).all()
