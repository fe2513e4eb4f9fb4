import numpy as np
import pytest

from hardener.errors import DataError
from hardener.measuring.intervals import (
    largest_likely_drop,
    paired_loss,
    paired_ratio,
    wilson,
)


def test_wilson_agrees_with_the_published_example() -> None:
    # 81 of 263: Newcombe 1998, table I, method 3 (score without continuity correction).
    rate = wilson(81, 263)
    assert (round(rate.low, 4), round(rate.value, 4), round(rate.high, 4)) == (
        0.2553,
        0.3080,
        0.3662,
    )


def test_wilson_at_the_ends_stays_inside() -> None:
    none, every = wilson(0, 20), wilson(20, 20)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(0.1611, abs=1e-4)
    assert (every.value, every.high) == (1, 1)


def test_no_images_give_no_rate() -> None:
    with pytest.raises(DataError, match="no images"):
        wilson(0, 0)


def test_ratios_are_paired_before_the_median() -> None:
    slow_rounds = np.array([1.0, 10.0, 1.0, 10.0, 1.0])
    ratio = paired_ratio(2 * slow_rounds, slow_rounds, seed=0)
    assert (ratio.value, ratio.low, ratio.high) == (2, 2, 2)


def test_a_ratios_interval_holds_its_median() -> None:
    rng = np.random.default_rng(0)
    ratio = paired_ratio(rng.uniform(0.9, 1.3, 200), np.ones(200), seed=0)
    assert 1.05 < ratio.low < ratio.value < ratio.high < 1.15


def test_a_likely_drop_grows_with_disagreement() -> None:
    assert largest_likely_drop(20, 0, 1000) == pytest.approx(0.0274, abs=1e-4)
    assert largest_likely_drop(60, 40, 1000) > largest_likely_drop(20, 0, 1000)


def test_a_few_images_without_a_loss_prove_little() -> None:
    assert largest_likely_drop(0, 0, 10) > 0.1
    assert largest_likely_drop(0, 0, 10_000) < 0.0002


def test_a_loss_is_of_the_same_images() -> None:
    before = np.array([True] * 90 + [False] * 10)
    after = before.copy()
    after[:5], after[95:98] = False, True
    lost = paired_loss(before, after, np.arange(100))
    assert lost.value == pytest.approx(0.02)
    assert lost.high - lost.value == pytest.approx(1.96 * np.sqrt(8 - 4 / 100) / 100, rel=1e-3)


def test_images_that_are_alike_prove_less() -> None:
    before, after = np.ones(100, np.bool_), np.ones(100, np.bool_)
    after[:10] = False
    alone = paired_loss(before, after, np.arange(100))
    together = paired_loss(before, after, np.arange(100) // 10)
    assert together.value == alone.value
    assert together.high > alone.high + 0.05


def test_no_change_on_few_images_proves_little() -> None:
    few, many = (np.ones(count, np.bool_) for count in (20, 2000))
    assert paired_loss(few, few, np.arange(20)).high > 0.1
    assert paired_loss(many, many, np.arange(2000)).high < 0.002


def test_a_loss_on_no_images_is_refused() -> None:
    nothing = np.zeros(0, np.bool_)
    with pytest.raises(DataError, match="no images"):
        paired_loss(nothing, nothing, np.zeros(0, np.int64))
