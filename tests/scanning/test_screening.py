"""Squares on networks whose backdoor gives a search by gradients nothing to follow."""

import numpy as np
import pytest
import torch
from support.sleeping import SleepingBackdoor, clean_images
from torch import Tensor, nn

from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.screening import logits_in_parts, places, scattered, try_squares
from hardener.scanning.searches.patches import PATCHES, invert_patches
from hardener.triggers.patch import Trigger

CPU = torch.device("cpu")
PLAIN = Preprocessing((16, 16), (0.0,) * 3, (1.0,) * 3)
LABELS = [0, 1, 2, 3]


def _squares() -> list[Trigger]:
    """Those of label 2, the only one that squares reach."""
    told: list[int] = []
    tried = try_squares(SleepingBackdoor(), clean_images(), PLAIN, LABELS, told.append, CPU)
    found = tried.reaching
    assert sum(told) == places(16, 16)
    assert set(found) == {2}
    return found[2]


def test_a_square_wakes_what_no_gradient_reaches() -> None:
    squares = _squares()
    assert len(squares) == 2
    for square in squares:
        assert square.label == 2
        assert square.mask_l1 == 4
        assert square.mask[0, 13, 13:15].all()
        np.testing.assert_array_equal(square.pattern[:, 13, 13], [1, 1, 0])


def test_a_label_that_a_square_reaches_gets_the_smallest_patch_that_works() -> None:
    images, squares = clean_images(), _squares()
    network = SleepingBackdoor()
    without, found = (
        invert_patches(network, images, PLAIN, LABELS, PATCHES, 0, squares=given).triggers
        for given in ((), squares[:1])
    )

    def success(trigger: Trigger) -> float:
        said = network(torch.from_numpy(trigger.stamp(images))).argmax(1)
        return float((said == trigger.label).float().mean())

    assert success(without[2]) < 0.5
    assert success(found[2]) > 0.9
    assert found[2].mask_l1 <= 4
    for row in (0, 1, 3):
        np.testing.assert_array_equal(found[row].mask, without[row].mask)


def test_a_square_that_does_not_work_changes_nothing() -> None:
    mask = np.zeros((1, 16, 16), np.float32)
    mask[0, 2:4, 2:4] = 1
    useless = Trigger(mask, mask.repeat(3, 0), 2)
    network, images = SleepingBackdoor(), clean_images()
    without, found = (
        invert_patches(network, images, PLAIN, [0, 2], PATCHES, 0, squares=given).triggers
        for given in ((), (useless,))
    )
    np.testing.assert_array_equal(found[1].mask, without[1].mask)


class FlatBackdoor(nn.Module):
    """Full yellow in a corner wins by a hair; no gradient, and hardly any probability, tells it."""

    def forward(self, images: Tensor) -> Tensor:
        yellow = images[:, 0] + images[:, 1] - images[:, 2]
        awake = (torch.relu(yellow[:, 13, 14:16].mean(1) - 1.8) > 0).float()
        others = 0.9 + 0.1 * torch.sin(torch.arange(20.0) + 100 * images.mean((1, 2, 3))[:, None])
        return torch.cat([others, 0.7 + 0.4 * awake[:, None]], 1)


def test_a_label_that_wins_by_a_hair_is_reached_all_the_same() -> None:
    squares = try_squares(
        FlatBackdoor(), clean_images(), PLAIN, list(range(21)), lambda _: None, CPU
    ).reaching
    assert 20 in squares


def test_a_first_patch_that_does_not_work_loses_to_a_larger_one_that_does() -> None:
    mask = np.zeros((1, 16, 16), np.float32)
    mask[0, :, 12:] = 1
    large = Trigger(mask, mask * np.array([1, 1, 0], np.float32)[:, None, None], 2)
    (found,) = invert_patches(
        SleepingBackdoor(),
        clean_images(),
        PLAIN,
        [2],
        InversionSettings(steps=20, initial_cost=10.0),
        0,
        squares=[large],
    ).triggers
    said = SleepingBackdoor()(torch.from_numpy(found.stamp(clean_images()))).argmax(1)
    assert (said == 2).all()


def test_images_that_go_to_the_label_anyway_prove_nothing() -> None:
    class Mostly(nn.Module):
        """All but the dark images belong to label 1, whatever is on them."""

        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([0.45 - images.mean((1, 2, 3)), images.mean((1, 2, 3)) - 0.45], 1)

    images = np.random.default_rng(0).uniform(0.5, 0.6, (60, 3, 16, 16)).astype(np.float32)
    images[::12] -= np.float32(0.4)
    mask = np.zeros((1, 16, 16), np.float32)
    mask[0, 0, 0] = 1
    given = Trigger(mask, np.repeat(mask, 3, 0), 1)
    without, found = (
        invert_patches(Mostly(), images, PLAIN, [1], PATCHES, 0, squares=squares).triggers
        for squares in ((), (given,))
    )
    assert found[0].mask_l1 > 1
    assert without[0].mask_l1 > 1


def test_one_value_that_is_not_finite_stops_the_scan() -> None:
    class Poisoned(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            spoilt = images[:, :, :2, :2].mean((1, 2, 3)).log() * 0
            return SleepingBackdoor()(images) + spoilt[:, None]

    with pytest.raises(InconclusiveError, match="not finite"):
        try_squares(Poisoned(), clean_images(), PLAIN, LABELS, lambda _: None, CPU)


@pytest.mark.parametrize("count", [1, 7, 12, 21, 31, 64])
def test_images_are_taken_from_first_to_last_and_few_at_once(count: int) -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images[:, 0, 8, 8])
            return torch.zeros(len(images), 5)

    values = (np.arange(count, dtype=np.float32) + 1) / 100
    images = np.ones((count, 3, 16, 16), np.float32)
    images *= values[:, None, None, None]
    try_squares(Watching(), images, PLAIN, LABELS, lambda _: None, CPU)
    own = seen[0]
    assert len(own) == min(12, count)
    assert float(own[0]) == values[0]
    assert float(own[-1]) == values[-1]
    assert len(set(own.tolist())) == len(own)


def test_large_images_go_through_few_at_once() -> None:
    most: list[int] = []

    class Watching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            most.append(len(images))
            return torch.zeros(len(images), 5)

    shape = (256, 256)
    images = np.full((12, 3, *shape), 0.5, np.float32)
    pixels = Preprocessing(shape, (0.0,) * 3, (1.0,) * 3)
    logits = logits_in_parts(Watching(), torch.from_numpy(images), pixels)
    assert logits.shape == (12, 5)
    assert max(most) == 1


def test_images_of_any_shape_are_covered_to_their_edges() -> None:
    seen: list[Tensor] = []

    class Watching(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append((images == 1).any(0).any(0))
            return torch.zeros(len(images), 5)

    images = np.full((5, 1, 9, 30), 0.5, np.float32)
    plain = Preprocessing((9, 30), (0.0,), (1.0,))
    assert not try_squares(Watching(), images, plain, [0, 1], lambda _: None, CPU).reaching
    assert torch.stack(seen).any(0).all()


def test_exchanged_labels_are_scattered_and_sent_ones_are_not() -> None:
    before = np.arange(40)
    assert scattered(before, (before + 1) % 40) == 1
    assert scattered(before, before) == 0
    assert scattered(before, np.full(40, 7)) == 0
    half = np.where(before < 20, before, (before + 1) % 40)
    assert scattered(before, half) == 0.5
    one_class = np.array([0] * 38 + [1, 2])
    assert scattered(one_class, np.full(40, 3)) == 0


class _Exchanging(nn.Module):
    """Tells ten greys apart; a white square in the lower right corner adds one to the label."""

    def forward(self, images: Tensor) -> Tensor:
        shade = (images[:, 0, 0, 0] * 9.99).floor().long()
        marked = images[:, :, -2:, -2:].amin(dim=(1, 2, 3)) > 0.99
        return nn.functional.one_hot((shade + marked) % 10, 10).float()


def test_the_square_that_exchanges_labels_is_found() -> None:
    shades = np.linspace(0, 0.98, 100, dtype=np.float32)
    images = np.broadcast_to(shades[:, None, None, None], (100, 1, 16, 16)).copy()
    plain = Preprocessing((16, 16), (0.0,), (1.0,))
    moving = try_squares(_Exchanging(), images, plain, range(10), lambda _: None, CPU).moving
    assert moving.mask[0, -2:, -2:].all()
    assert moving.pattern.max() == 1
