"""Histograms that grow batch by batch, with all counts as if all values had been there at once."""

from dataclasses import dataclass
from math import floor, log2

import numpy as np

from hardener.arrays import AnyArray, DoubleArray, IntArray

BINS = 128
_SMALLEST = 2.0**-40


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often values of 0 or more lie in bins of equal width, the first of which starts at 0.

    Attributes:
        width: of a bin, a power of two, so that bins of two histograms merge without a rest.
        counts: (128,) values in each bin.
        largest: of all values.
    """

    width: float
    counts: IntArray
    largest: float

    @classmethod
    def of(cls, values: AnyArray) -> "Histogram":
        """Counts finite values of 0 or more; at least half of the bins lie below the largest."""
        largest = float(values.max())
        width = 2.0 ** (floor(log2(max(largest, _SMALLEST) / BINS)) + 1)
        places = (values.ravel() / width).astype(np.int64)
        return cls(width, np.bincount(places, minlength=BINS), largest)

    @property
    def edges(self) -> DoubleArray:
        """(129,) where the bins begin and the last one ends."""
        return np.arange(BINS + 1, dtype=np.float64) * np.float64(self.width)

    def __add__(self, more: "Histogram") -> "Histogram":
        width = max(self.width, more.width)
        counts = self._merged(width) + more._merged(width)
        return Histogram(width, counts, max(self.largest, more.largest))

    def _merged(self, width: float) -> IntArray:
        """Counts in wider bins."""
        factor = min(round(width / self.width), BINS)
        return np.bincount(np.arange(BINS) // factor, self.counts, BINS).astype(np.int64)
