"""Squares on networks whose backdoor gives a search by gradients nothing to follow."""

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.data.triggers import Trigger
from hardener.scanning.inversion import PATCHES, invert_patches
from hardener.scanning.screening import places, reaching_squares

CPU = torch.device("cpu")
PLAIN = Preprocessing((16, 16), (0.0,) * 3, (1.0,) * 3)
LABELS = [0, 1, 2, 3]


class SleepingBackdoor(nn.Module):
    """Label 2 answers where two pixels of the corner are full yellow, else with no slope at all.

    Labels 0 and 1 need the whole image darker or brighter, label 3 stripes all over it.
    """

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        yellow = images[:, 0] + images[:, 1] - images[:, 2]
        asleep = torch.relu(yellow[:, 13, 13:15].mean(1) - 1.8) * 1000
        stripes = (images[:, :, ::2].mean((1, 2, 3)) - images[:, :, 1::2].mean((1, 2, 3))) * 60
        return torch.stack([(0.5 - mean) * 60, (mean - 0.5) * 60, asleep - 5, stripes], 1)


def _images() -> FloatArray:
    images = np.random.default_rng(0).uniform(0.2, 0.6, (64, 3, 16, 16)).astype(np.float32)
    images[::2] += 0.2
    return images


def _squares() -> list[Trigger]:
    told: list[int] = []
    found = reaching_squares(SleepingBackdoor(), _images(), PLAIN, LABELS, told.append, CPU)
    assert sum(told) == places(16, 16)
    return found


def test_a_square_wakes_what_no_gradient_reaches() -> None:
    (square,) = _squares()
    assert square.label == 2
    assert square.mask_l1 == 4
    assert square.mask[0, 13, 13:15].all()
    np.testing.assert_array_equal(square.pattern[:, 13, 13], [1, 1, 0])


def test_a_label_that_a_square_reaches_gets_the_smallest_patch_that_works() -> None:
    images, squares = _images(), _squares()
    without, found = (
        invert_patches(SleepingBackdoor(), images, PLAIN, LABELS, PATCHES, 0, squares=given)
        for given in ((), squares)
    )
    network = SleepingBackdoor()

    def success(trigger: Trigger) -> float:
        said = network(torch.from_numpy(trigger.stamp(images))).argmax(1)
        return float((said == trigger.label).float().mean())

    assert success(without[2]) < 0.5
    assert success(found[2]) == 1
    assert found[2].mask_l1 <= 4
    for row in (0, 1, 3):
        np.testing.assert_array_equal(found[row].mask, without[row].mask)


def test_a_square_that_does_not_work_changes_nothing() -> None:
    mask = np.zeros((1, 16, 16), np.float32)
    mask[0, 2:4, 2:4] = 1
    useless = Trigger(mask, mask.repeat(3, 0), 2)
    without, found = (
        invert_patches(SleepingBackdoor(), _images(), PLAIN, [0, 2], PATCHES, 0, squares=given)
        for given in ((), (useless,))
    )
    np.testing.assert_array_equal(found[1].mask, without[1].mask)


def test_images_of_any_shape_are_covered_to_their_edges() -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append((images == 1).any(0).any(0))
            return torch.zeros(len(images), 5)

    images = np.full((5, 1, 9, 30), 0.5, np.float32)
    plain = Preprocessing((9, 30), (0.0,), (1.0,))
    assert not reaching_squares(Watching(), images, plain, [0, 1], lambda _: None, CPU)
    assert torch.stack(seen).any(0).all()
