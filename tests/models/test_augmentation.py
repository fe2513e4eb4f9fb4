import dataclasses

import pytest
import torch

from models.augmentation import Augmentation, augment, move, relight

STILL = Augmentation(
    shift=0, scale=0, stretch=0, rotation=0, shear=0, contrast=0, brightness=0, offset=0
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_no_limits_no_change() -> None:
    images = torch.rand(4, 3, 32, 32, generator=seeded())
    torch.testing.assert_close(augment(images, STILL, seeded()), images)


def test_stays_in_range_and_is_seeded() -> None:
    images = torch.rand(16, 3, 32, 32, generator=seeded())
    once = augment(images, Augmentation(), seeded(1))
    assert once.shape == images.shape
    assert 0 <= once.min() <= once.max() <= 1
    assert torch.equal(once, augment(images, Augmentation(), seeded(1)))
    assert not torch.equal(once, augment(images, Augmentation(), seeded(2)))


def test_every_other_image_is_mirrored_where_asked() -> None:
    images = torch.rand(64, 3, 8, 8, generator=seeded())
    moved = move(images, dataclasses.replace(STILL, mirror=True), seeded(1))
    same, turned = (
        (moved - other).abs().amax(dim=(1, 2, 3)) < 1e-5 for other in (images, images.flip(3))
    )
    assert (same ^ turned).all()
    assert 16 < turned.sum() < 48


def test_each_image_moves_by_its_own_amount_within_the_limit() -> None:
    images = torch.zeros(64, 1, 32, 32)
    images[:, :, 16, 16] = 1
    moved = move(images, Augmentation(**{**vars(STILL), "shift": 3.0}), seeded())
    rows = moved.sum(dim=(1, 3)) @ torch.arange(32.0) / moved.sum(dim=(1, 2, 3))
    assert (rows - 16).abs().max() <= 3 + 1e-4
    assert len(set(rows.tolist())) > 32


@pytest.mark.parametrize("limit", ["contrast", "brightness", "offset"])
def test_light_changes_but_not_place(limit: str) -> None:
    images = torch.full((8, 3, 4, 4), 0.4)
    images[:, :, 0, 0] = 0.6
    relit = relight(images, Augmentation(**{**vars(STILL), limit: 0.3}), seeded())
    assert not torch.allclose(relit, images)
    assert (relit.flatten(2).argmax(dim=2) == 0).all()
