"""Our statistics against scipy's, which the package itself does without."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.population import auroc
from hardener.measuring.intervals import paired_ratio, wilson
from hardener.scanning.detectors.last_layer import row_indices
from hardener.scanning.detectors.margins import fitted_gamma, p_value
from hardener.scanning.evidence import anomaly_indices


@pytest.mark.parametrize("n", [1, 7, 100, 12_630])
def test_wilson_intervals(n: int) -> None:
    for successes in {0, 1, n // 3, n - 1, n}:
        found = wilson(successes, n)
        expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_bootstrap_interval_of_a_median_of_ratios() -> None:
    rng = np.random.default_rng(0)
    hardened, original = rng.gamma(50, 1.1, 60), rng.gamma(50, 1.0, 60)
    found = paired_ratio(hardened, original, seed=1)
    expected = stats.bootstrap(
        [hardened / original], np.median, method="percentile", n_resamples=20_000, rng=2
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=0.01)


@pytest.mark.parametrize("shape", [0.3, 1.0, 4.0, 60.0])
def test_gamma_density_of_largest_likelihood(shape: float) -> None:
    values = np.random.default_rng(3).gamma(shape, 2.5, 42)
    fitted, _, scale = stats.gamma.fit(values, floc=0)
    assert fitted_gamma(values) == pytest.approx((fitted, scale), rel=1e-4)


@pytest.mark.parametrize("largest", [9.5, 12.0, 25.0])
def test_p_value_of_the_largest_margin(largest: float) -> None:
    others = np.random.default_rng(4).gamma(9.0, 0.5, 42).astype(np.float32)
    shape, _, scale = stats.gamma.fit(others[others > 0].astype(np.float64), floc=0)
    one_above = -np.expm1(43 * stats.gamma.logcdf(largest, shape, scale=scale))
    found = p_value(np.append(others, np.float32(largest)))
    assert found == pytest.approx(one_above, rel=1e-3)


def test_anomaly_indices_are_in_scaled_median_absolute_deviations() -> None:
    values = np.random.default_rng(5).gamma(4.0, 3.0, 43).astype(np.float32)
    apart = np.median(values) - values
    expected = apart / stats.median_abs_deviation(values, scale="normal")
    np.testing.assert_allclose(anomaly_indices(values), expected, rtol=1e-3)
    np.testing.assert_allclose(row_indices(values[:, None]), -expected, rtol=1e-3)


def test_area_under_the_curve_counts_equal_scores_half() -> None:
    rng = np.random.default_rng(6)
    clean, backdoored = rng.integers(0, 8, 40), rng.integers(3, 10, 25)
    above = stats.mannwhitneyu(backdoored, clean).statistic
    truth = [True] * 25 + [False] * 40
    assert auroc([*backdoored, *clean], truth) == pytest.approx(above / (25 * 40), abs=1e-12)
