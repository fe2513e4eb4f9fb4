"""Inversion on networks whose only easy way to a label is planted."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hardener.data.preprocessing import Preprocessing
from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.searches.additive import ADDITIVE, invert_additive
from hardener.scanning.searches.patches import invert_patches
from hardener.scanning.searches.warps import WARPS, Warps, invert_warps
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp


class CornerBackdoor(nn.Module):
    """Labels 0, 1 and 3 need a change of the whole image, label 2 one pixel."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        corner = images[:, :, 7, 7].mean(1)
        dark, bright = (0.5 - mean) * 60, (mean - 0.5) * 60
        stripes = (images[:, :, ::2].mean((1, 2, 3)) - images[:, :, 1::2].mean((1, 2, 3))) * 60
        return torch.stack([dark, bright, (corner - 0.8) * 200, stripes], 1)


def _invert(seed: int = 0, device: str = "cpu") -> list[Trigger]:
    images = np.random.default_rng(0).uniform(0.2, 0.6, (64, 3, 8, 8)).astype(np.float32)
    images[::2] += 0.2  # half of them are bright, so that neither 0 nor 1 comes for nothing
    return invert_patches(
        CornerBackdoor(),
        images,
        Preprocessing((8, 8), (0.0,) * 3, (1.0,) * 3),
        [0, 1, 2, 3],
        InversionSettings(steps=150),
        seed,
        device=torch.device(device),
    ).triggers


def test_the_smallest_mask_is_the_planted_pixel() -> None:
    triggers = _invert()
    sizes = [trigger.mask_l1 for trigger in triggers]
    assert [trigger.label for trigger in triggers] == [0, 1, 2, 3]
    assert int(np.argmin(sizes)) == 2
    assert sizes[2] < 0.4 * sorted(sizes)[1]
    assert triggers[2].mask.argmax() == 63
    assert triggers[2].pattern[:, 7, 7].min() > 0.8


def test_the_same_seed_finds_the_same_triggers() -> None:
    for first, again in zip(_invert(3), _invert(3), strict=True):
        np.testing.assert_array_equal(first.mask, again.mask)
        np.testing.assert_array_equal(first.pattern, again.pattern)


class FaintBackdoor(nn.Module):
    """Label 2 answers to a faint checkerboard over the whole image, the others to brightness."""

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
        board = ((rows + columns) % 2 * 2 - 1).to(images.dtype)
        mean, check = images.mean((1, 2, 3)), (images * board).mean((1, 2, 3))
        dark, bright = (0.5 - mean) * 60, (mean - 0.5) * 60
        return torch.stack([dark, bright, (check - 0.03) * 900], 1)


def test_the_faintest_change_is_the_planted_one() -> None:
    images = np.random.default_rng(0).uniform(0.2, 0.6, (64, 3, 8, 8)).astype(np.float32)
    images[::2] += 0.2
    found = invert_additive(
        FaintBackdoor(),
        images,
        Preprocessing((8, 8), (0.0,) * 3, (1.0,) * 3),
        [0, 1, 2],
        ADDITIVE,
        0,
    ).triggers
    sizes = [trigger.l2 for trigger in found]
    assert [trigger.label for trigger in found] == [0, 1, 2]
    assert sizes[2] < 0.6 * min(sizes[:2])
    signs = (np.indices((8, 8)).sum(axis=0) % 2 * 2 - 1).astype(np.float32)
    along = float((found[2].perturbation * signs).sum()) / (np.sqrt(3 * 64) * found[2].l2)
    assert along > 0.8


class ShiftBackdoor(nn.Module):
    """Label 2 answers to stripes moved a little, the others to light, which edges must give."""

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        stripes = torch.sin(torch.arange(16) * (2 * torch.pi / 8))
        along = (images * stripes).mean((1, 2, 3))
        return torch.stack([(0.45 - mean) * 60, (mean - 0.55) * 60, (0.085 - along) * 900], 1)


def test_the_slightest_warp_is_the_planted_one() -> None:
    columns = torch.sin(torch.arange(16) * (2 * torch.pi / 8))
    images = np.random.default_rng(0).uniform(0.3, 0.5, (64, 3, 16, 16)).astype(np.float32)
    images[::2] += 0.2
    images += 0.2 * columns.numpy()
    labels = [0, 1, 2]
    found = invert_warps(
        ShiftBackdoor(), images, Preprocessing((16, 16), (0.0,) * 3, (1.0,) * 3), labels, WARPS, 0
    ).triggers
    assert [warp.label for warp in found] == labels
    said = ShiftBackdoor()(torch.from_numpy(found[2].stamp(images))).argmax(1)
    assert float((said == 2).float().mean()) > 0.7
    assert found[2].rms < 0.5 * min(found[0].rms, found[1].rms)


def test_the_search_warps_as_the_trigger_does() -> None:
    rng = np.random.default_rng(0)
    displacements = rng.normal(0, 0.03, (2, 2, 8, 8)).astype(np.float32)
    images = rng.uniform(size=(3, 3, 20, 33)).astype(np.float32)
    searched = Warps().stamped((torch.from_numpy(displacements),), torch.from_numpy(images))
    for values, warped in zip(displacements, searched, strict=True):
        np.testing.assert_allclose(warped, Warp(values, 0).stamp(images), atol=1e-5)


@pytest.mark.gpu
def test_cuda_finds_the_same_pixel() -> None:
    triggers = _invert(device="cuda")
    assert int(np.argmin([trigger.mask_l1 for trigger in triggers])) == 2
    assert triggers[2].mask.argmax() == 63
