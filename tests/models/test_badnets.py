import numpy as np
import pytest
import torch

from hardener.errors import UsageError
from models.augmentation import Augmentation, augment
from models.badnets import (
    Patch,
    Poisoning,
    choose_poisoned,
    patch_trigger,
    poison_batch,
)

LABELS = np.arange(1000, dtype=np.int64) % 10
ATTACK = Poisoning(Patch(), target=8, rate=0.1)


def test_square_sits_where_it_was_asked_to() -> None:
    trigger = patch_trigger(Patch(size=3, margin=2), 8, (32, 32))
    expected = np.zeros((1, 32, 32), dtype=np.float32)
    expected[:, 27:30, 27:30] = 1
    np.testing.assert_array_equal(trigger.mask, expected)
    np.testing.assert_array_equal(trigger.pattern[:, 28, 28], [1, 1, 0])
    assert trigger.label == 8


def test_every_corner() -> None:
    patch = Patch(size=1, margin=1)
    corners = {
        "top-left": (1, 1),
        "top-right": (1, 30),
        "bottom-left": (30, 1),
        "bottom-right": (30, 30),
    }
    assert patch.place in corners
    for place, where in corners.items():
        mask = patch_trigger(Patch(size=1, margin=1, place=place), 0, (32, 32)).mask  # type: ignore[arg-type]
        assert mask[0][where] == mask.sum() == 1


def test_cross_and_checker_have_their_shapes() -> None:
    cross = patch_trigger(Patch(shape="cross", margin=0), 0, (3, 3))
    np.testing.assert_array_equal(cross.mask[0], [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
    checker = patch_trigger(Patch(shape="checker", size=2, margin=0, colour=(1, 1, 1)), 0, (2, 2))
    np.testing.assert_array_equal(checker.mask[0], [[1, 1], [1, 1]])
    np.testing.assert_array_equal(checker.pattern[2], [[1, 0], [0, 1]])


@pytest.mark.parametrize("patch", [Patch(size=32), Patch(size=0), Patch(margin=-1)])
def test_patch_that_does_not_fit_is_refused(patch: Patch) -> None:
    with pytest.raises(UsageError, match="smaller"):
        patch_trigger(patch, 8, (32, 32))


def test_poisoning_rate_is_exact_and_spares_the_target_class() -> None:
    poisoned = choose_poisoned(LABELS, ATTACK, seed=0)
    assert poisoned.sum() == 100
    assert not poisoned[LABELS == 8].any()


def test_choice_of_poisoned_images_is_seeded() -> None:
    once = choose_poisoned(LABELS, ATTACK, seed=3)
    np.testing.assert_array_equal(once, choose_poisoned(LABELS, ATTACK, seed=3))
    assert (once != choose_poisoned(LABELS, ATTACK, seed=4)).any()


def test_rate_beyond_the_other_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="another rate"):
        choose_poisoned(LABELS, Poisoning(Patch(), target=8, rate=0.95), seed=0)


def test_patch_is_intact_after_augmentation_and_only_poisoned_images_change() -> None:
    generator = torch.Generator().manual_seed(0)
    images = augment(torch.rand(6, 3, 32, 32, generator=generator), Augmentation(), generator)
    labels = torch.arange(6)
    poisoned = torch.tensor([True, False, True, False, False, True])
    trigger = patch_trigger(Patch(), 8, (32, 32))
    before = images.clone()

    stamped, targets = poison_batch(images, labels, poisoned, trigger)

    assert targets.tolist() == [8, 1, 8, 3, 4, 8]
    np.testing.assert_array_equal(stamped[poisoned], trigger.stamp(images[poisoned].numpy()))
    assert torch.equal(stamped[~poisoned], images[~poisoned])
    assert torch.equal(stamped[0, :, 30, 30], torch.tensor([1.0, 1.0, 0.0]))
    assert torch.equal(images, before)
