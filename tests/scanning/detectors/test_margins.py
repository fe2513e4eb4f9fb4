from collections.abc import Callable

import numpy as np
import pytest
import torch
from support.shares import even_sums, share_model
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.model.gradients import differentiable
from hardener.model.signature import read_signature
from hardener.scanning.climbing import AscentSettings, climb, within_budget
from hardener.scanning.detectors.margins import MARGINS, MOST_VALUES, fitted_gamma, p_value

CPU = torch.device("cpu")
PIXELS = Preprocessing((8, 8), (0.0,) * 3, (1.0,) * 3)
SUMS = [4.0, 9.0, 5.0, 6.0, 7.0, 8.0, 30.0, 3.0]


def _searched(
    network: nn.Module,
    *,
    preprocessing: Preprocessing = PIXELS,
    settings: AscentSettings = MARGINS,
    seed: int = 0,
    on_step: Callable[[int], None] = lambda _: None,
) -> FloatArray:
    return climb(network, preprocessing, range(len(SUMS)), settings, seed, on_step, CPU)[0]


def _shares() -> nn.Module:
    model = share_model(SUMS)
    examples = np.random.default_rng(0).random((2, 3, 8, 8), dtype=np.float32)
    return differentiable(model, read_signature(model), examples)


def test_the_largest_margins_are_those_that_can_be_told_by_hand() -> None:
    assert _searched(_shares()) == pytest.approx(SUMS, rel=1e-3)


def test_images_are_normalised_and_stay_within_0_and_1() -> None:
    # On twice the pixels' values each label gets twice as far, and no further.
    halved = Preprocessing((8, 8), (0.0,) * 3, (0.5,) * 3)
    expected = [2 * total for total in SUMS]
    assert _searched(_shares(), preprocessing=halved) == pytest.approx(expected, rel=1e-3)


def test_the_best_image_on_the_way_counts() -> None:
    # Every step throws all pixels to an end of their range, far from the best mean.
    wild = AscentSettings(starts=1, steps=12, first_step=1.0, last_step=1.0)

    class Bump(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            height = -(images.mean((1, 2, 3)) - 0.5).abs()
            return torch.stack([height, *[torch.zeros_like(height)] * 7], 1)

    assert -0.1 < _searched(Bump(), settings=wild)[0] <= 0


def test_one_seed_gives_one_answer_and_every_label_step_is_told() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8))
    network.requires_grad_(False)
    few = AscentSettings(starts=2, steps=3)
    told: list[int] = []
    first = _searched(network, settings=few, on_step=told.append)
    assert sum(told) == 3 * 8
    assert np.array_equal(first, _searched(network, settings=few))
    assert not np.array_equal(first, _searched(network, settings=few, seed=1))


def test_values_that_are_not_finite_are_no_evidence() -> None:
    class Overflowing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :8] * torch.inf

    with pytest.raises(InconclusiveError, match="not finite"):
        _searched(Overflowing())


def test_a_label_far_ahead_is_told_from_even_ones() -> None:
    even = np.array(even_sums(43), np.float32)
    usual = p_value(even)
    ahead = p_value(np.append(even, np.float32(40)))
    assert usual is not None
    assert usual > 0.05
    assert ahead is not None
    assert 0 <= ahead < 1e-12
    # Alone in being far behind it is no target.
    behind = p_value(np.append(even, np.float32(0.5)))
    assert behind is not None
    assert behind > 0.01


def test_the_p_value_is_that_of_the_largest_of_all_labels() -> None:
    # Of an exponential density with mean 1, H(x) = 1 - exp(-x).
    quantiles = -np.log1p(-(np.arange(4000) + 0.5) / 4000)
    shape, scale = fitted_gamma(quantiles)
    assert (shape, scale) == pytest.approx((1, 1), rel=0.01)
    found = p_value(np.append(quantiles, 14.0).astype(np.float32))
    assert found == pytest.approx(1 - (1 - np.exp(-14.0)) ** 4001, rel=0.1)


def test_equal_margins_have_no_outlier() -> None:
    found = p_value(np.full(10, 5.0, np.float32))
    assert found is not None
    assert found > 0.5


def test_too_few_labels_are_not_tested() -> None:
    seven = [*np.linspace(4, 5, 6), 100.0]
    assert p_value(np.array(seven, np.float32)) is None
    # Labels that never lead do not count.
    assert p_value(np.array([*seven, 0.0, -3.0], np.float32)) is None
    assert p_value(np.array([*seven, 4.5], np.float32)) is not None


def test_many_labels_of_large_images_climb_less() -> None:
    small, large = 3 * 32 * 32, 3 * 224 * 224

    def within(labels: int, values: int) -> AscentSettings:
        return within_budget(MARGINS, labels, values, MOST_VALUES)

    assert within(43, small) == within(43, large) == within(1000, small) == MARGINS
    hundred, thousand = within(100, large), within(1000, large)
    assert (hundred.starts, hundred.steps) == (1, MARGINS.steps)
    assert (thousand.starts, thousand.steps) == (1, 4)
    assert within(100_000, large).steps == 2
