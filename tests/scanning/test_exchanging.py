"""The search for faint triggers that exchange labels, on networks made by hand."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.scanning.exchanging import (
    EXCHANGING,
    ExchangeSettings,
    exchanging_triggers,
    gain,
)
from hardener.scanning.screening import scattered

CPU = torch.device("cpu")
PLAIN = Preprocessing((12, 12), (0.0,) * 3, (1.0,) * 3)
LABELS = 6
SETTINGS = ExchangeSettings(steps=40)


class _Blinds(nn.Module):
    """Tells classes apart by which of six columns of an image is the brightest.

    With a backdoor a faint pattern of stripes gives every image the next label.
    """

    pattern: Tensor

    def __init__(self, *, backdoored: bool, scale: float = 1) -> None:
        super().__init__()
        self.backdoored, self.scale = backdoored, scale
        stripes = torch.ones(3, 12, 12)
        stripes[:, ::2] = -1
        self.register_buffer("pattern", stripes / stripes.norm())

    def forward(self, images: Tensor) -> Tensor:
        scores = 40 * self.scale * images.mean((1, 2)).view(len(images), LABELS, 2).mean(2)
        if not self.backdoored:
            return scores
        stripes = (images * self.pattern).flatten(1).sum(1)
        awake = torch.sigmoid(20 * (stripes - 0.4))[:, None]
        return (1 - awake) * scores + awake * scores.roll(1, 1)


def _images() -> FloatArray:
    """Of every class twenty, as its brightest column."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0.2, 0.4, (20 * LABELS, 3, 12, 12)).astype(np.float32)
    for number, image in enumerate(images):
        column = 2 * (number % LABELS)
        image[:, :, column : column + 2] += 0.4
    return images


def _scattered_by(network: nn.Module, kind: str, size: float) -> float:
    images = _images()
    told: list[int] = []
    best, *others = exchanging_triggers(
        kind, network, images, PLAIN, size, 0, CPU, told.append, SETTINGS
    )
    assert sum(told) == SETTINGS.steps
    assert len(others) == SETTINGS.starts - 1
    assert best.size <= 1.001 * size
    before, after = (
        network(torch.from_numpy(shown)).argmax(1).numpy() for shown in (images, best.stamp(images))
    )
    assert best.label == np.bincount(after).argmax()
    return scattered(before, after)


@pytest.mark.parametrize("scale", [1, 2, 100])
def test_a_faint_pattern_that_exchanges_all_labels_is_found(scale: float) -> None:
    """Larger logits change no prediction, and must not hide it."""
    assert _scattered_by(_Blinds(backdoored=True, scale=scale), "additive", 0.8) > 0.9


class _Endless(nn.Module):
    """Its logits are finite, the slope of a root at nothing is not."""

    def forward(self, images: Tensor) -> Tensor:
        scores = images.mean((1, 2)).view(len(images), LABELS, 2).mean(2)
        return scores + torch.sqrt(0 * images.mean((1, 2, 3)))[:, None]


def test_slopes_that_are_no_number_end_the_search() -> None:
    with pytest.raises(InconclusiveError, match="not finite"):
        exchanging_triggers("additive", _Endless(), _images(), PLAIN, 0.5, 0, CPU)


@pytest.mark.parametrize("kind", EXCHANGING)
def test_nothing_as_faint_exchanges_the_labels_of_the_same_network_without_it(kind: str) -> None:
    assert _scattered_by(_Blinds(backdoored=False), kind, 0.8 if kind == "additive" else 0.02) < 0.3


def test_labels_for_one_another_gain_more_than_one_label_for_all_or_the_old_ones() -> None:
    own = torch.arange(12) % LABELS
    told = [(own + 1) % LABELS, torch.zeros_like(own), own]
    logits = 8.0 * torch.stack([nn.functional.one_hot(one, LABELS) for one in told])
    permuted, collapsed, kept = gain(logits, own).tolist()
    assert permuted > collapsed + 1
    assert collapsed > kept + 1


def test_where_images_are_large_a_step_sees_fewer() -> None:
    assert ExchangeSettings().images_of(3 * 32 * 32) == 48
    assert ExchangeSettings().images_of(3 * 224 * 224) == 4
