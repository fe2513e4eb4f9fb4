"""Which thresholds to try, and what each of them prunes."""

import numpy as np

from hardener.arrays import BoolArray, DoubleArray, FloatArray

MOST_THRESHOLDS = 48


def static_thresholds(scores: FloatArray, start: float | None = None) -> FloatArray:
    """Thresholds that prune ever more channels, from none to all but one.

    A channel is pruned where its score exceeds the threshold.

    Args:
        scores: (C,) larger goes first.
        start: no threshold above this is tried, but one that keeps a channel always is; the
            paper starts at the clean maximum.

    Returns:
        At most 48 descending thresholds, the first one the start or the largest score.
    """
    distinct = np.unique(scores)[::-1]
    limit = distinct[0] if start is None else max(np.float32(start), distinct[-1])
    below = distinct[distinct < limit]
    if len(below) > MOST_THRESHOLDS - 1:
        below = below[np.linspace(0, len(below) - 1, MOST_THRESHOLDS - 1).round().astype(int)]
    return np.concatenate([[limit], below]).astype(np.float32)


def guard_thresholds(top: float) -> FloatArray:
    """Evenly spaced thresholds from the largest clean peak down towards zero."""
    return np.linspace(top, top / MOST_THRESHOLDS, MOST_THRESHOLDS).astype(np.float32)


def quantile_thresholds() -> DoubleArray:
    """Quantiles from the clean maximum down to the median, closest together at the maximum."""
    exceeded = np.geomspace(0.002, 0.5, MOST_THRESHOLDS - 1)
    return (1 - np.concatenate([[0], exceeded])).round(4)


def ratio_thresholds() -> DoubleArray:
    """Fractions of the clean maximum, from all of it down to a hundredth, in equal ratios."""
    return np.geomspace(1, 0.01, MOST_THRESHOLDS).round(4)


def channels_kept(scores: FloatArray, threshold: float) -> BoolArray:
    """(C,) true where a channel stays."""
    return scores <= threshold


def growing_thresholds(scores: FloatArray) -> FloatArray:
    """Thresholds that prune ever more of many channels, the first few one by one.

    Args:
        scores: (C,) of all channels of all layers, larger goes first.

    Returns:
        At most 48 descending thresholds, each of which prunes a channel and leaves one; none
        where all scores are equal.
    """
    descending = np.sort(scores)[::-1]
    most = max(1, len(scores) - 1)
    counts = np.unique(np.geomspace(1, most, MOST_THRESHOLDS).round().astype(int))
    found = np.unique(descending[counts[counts < len(scores)]])[::-1]
    return found[found < descending[0]].astype(np.float32)
