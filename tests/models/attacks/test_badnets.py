import numpy as np
import pytest
import torch

from hardener.errors import UsageError
from models.attacks.badnets import BadNets, Patch, Place, draw_patch


def test_square_sits_where_it_was_asked_to() -> None:
    mask, pattern = draw_patch(Patch(size=3, margin=2), (32, 32))
    expected = np.zeros((1, 32, 32), dtype=np.float32)
    expected[:, 27:30, 27:30] = 1
    np.testing.assert_array_equal(mask, expected)
    np.testing.assert_array_equal(pattern[:, 28, 28], [1, 1, 0])


@pytest.mark.parametrize(
    ("place", "where"),
    [
        ("top-left", (1, 1)),
        ("top-right", (1, 30)),
        ("bottom-left", (30, 1)),
        ("bottom-right", (30, 30)),
        ("centre", (15, 15)),
    ],
)
def test_every_place(place: Place, where: tuple[int, int]) -> None:
    mask, _ = draw_patch(Patch(size=1, margin=1, place=place), (32, 32))
    assert mask[0][where] == mask.sum() == 1


def test_cross_and_checker_have_their_shapes() -> None:
    cross, _ = draw_patch(Patch(shape="cross", margin=0), (3, 3))
    np.testing.assert_array_equal(cross[0], [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    checker, pattern = draw_patch(
        Patch(shape="checker", size=2, margin=0, colour=(1, 1, 1)), (2, 2)
    )
    np.testing.assert_array_equal(checker[0], [[1, 1], [1, 1]])
    np.testing.assert_array_equal(pattern[2], [[1, 0], [0, 1]])


@pytest.mark.parametrize("patch", [Patch(size=32), Patch(size=0), Patch(margin=-1)])
def test_patch_that_does_not_fit_is_refused(patch: Patch) -> None:
    with pytest.raises(UsageError, match="smaller"):
        draw_patch(patch, (32, 32))


def test_stamps_as_its_trigger_does() -> None:
    attack = BadNets(rate=0.1, target=8, patch=Patch(shape="cross", size=5))
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    trigger = attack.trigger((3, 32, 32))
    np.testing.assert_array_equal(attack.stamp(images), trigger.stamp(images.numpy()))
    assert torch.equal(images, before)
    assert trigger.label == 8
