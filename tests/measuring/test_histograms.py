"""Histograms that grow, against numpy's over all values at once."""

from functools import reduce
from operator import add

import numpy as np
import pytest

from hardener.measuring.histograms import BINS, Histogram


@pytest.mark.parametrize(
    "scales", [(1, 1, 1), (0.01, 40, 3), (1000, 0, 1e-6), (0, 0, 0), (0, 3e38, 1)]
)
def test_counts_are_those_of_all_values_at_once(scales: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    parts = [rng.uniform(0, scale, (50, 7)) for scale in scales]
    whole = reduce(add, map(Histogram.of, parts))
    values = np.concatenate(parts).ravel()
    expected, _ = np.histogram(values, whole.edges)
    assert whole.counts.tolist() == expected.tolist()
    assert whole.counts.sum() == values.size
    assert whole.largest == values.max()


def test_the_largest_value_lies_in_the_upper_half_of_the_bins() -> None:
    for largest in (0.3, 1.0, 2.0, 127.9, 128.0, 129.0):
        found = Histogram.of(np.array([0.0, largest]))
        assert BINS // 2 <= int(np.flatnonzero(found.counts)[-1]) < BINS
