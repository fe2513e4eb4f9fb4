"""Intervals around measured rates and ratios."""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from hardener.arrays import AnyArray, BoolArray, IntArray
from hardener.documents.rates import Rate, Ratio
from hardener.errors import DataError

_CONFIDENCE = 0.95
_RESAMPLES = 2000
_NORMAL = NormalDist()


class Interval(NamedTuple):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, n: int) -> Rate:
    """A rate with its 95 % Wilson score interval.

    Raises:
        DataError: there is nothing to take a rate of.

    Source: Wilson 1927; Brown, Cai and DasGupta 2001, equation 4.
    """
    if n == 0:
        raise DataError("no images are left to measure on: give images of more classes")
    z = _NORMAL.inv_cdf(0.5 + _CONFIDENCE / 2)
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return Rate(
        value=p, low=max(0.0, min(p, middle - half)), high=min(1.0, max(p, middle + half)), n=n
    )


def paired_ratio(numerator: AnyArray, denominator: AnyArray, seed: int) -> Ratio:
    """Median of pairwise ratios with a 95 % bootstrap interval of that median.

    Args:
        numerator: (R,) times of one model, round by round.
        denominator: (R,) times of the other in the same rounds.
        seed: of the resampling.
    """
    ratios = np.asarray(numerator) / np.asarray(denominator)
    rng = np.random.default_rng(seed)
    medians = np.median(rng.choice(ratios, (_RESAMPLES, len(ratios))), axis=1)
    low, high = np.quantile(medians, [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return Ratio(value=float(np.median(ratios)), low=float(low), high=float(high))


def paired_loss(before: BoolArray, after: BoolArray, groups: IntArray) -> Interval:
    """Accuracy lost from one model to another on the same images, with its 95 % interval.

    Images of one group are no independent witnesses: the variance is that of groups' sums,

        Σ_g (Σ_(i in g) (d_i - d̄))² / N²,     d_i = before_i - after_i

    and at least that of two images that changed, so that a few images prove little.

    Args:
        before: (N,) whether the first model is right.
        after: (N,) whether the second is.
        groups: (N,) number of each image's group.

    Raises:
        DataError: there are no images.

    Source: Liang and Zeger 1986 (Longitudinal data analysis using generalized linear models),
    equation 8, for a mean.
    """
    count = len(before)
    if count == 0:
        raise DataError("no images are left to measure on: give more images")
    lost = before.astype(np.float64) - after
    loss = float(lost.mean())
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=lost - loss)
    deviation = float(np.sqrt(max(float(np.square(sums).sum()), 2.0))) / count
    half = _NORMAL.inv_cdf(0.5 + _CONFIDENCE / 2) * deviation
    return Interval(loss, loss - half, loss + half)


def largest_likely_drop(lost: int, gained: int, n: int) -> float:
    """Upper end of a one-sided 95 % interval of an accuracy drop, from paired counts.

    Args:
        lost: images classified right before and wrong after.
        gained: images classified wrong before and right after.
        n: all images.

    Returns:
        The drop, as a fraction, that is exceeded with about 5 % probability: the adjusted Wald
        interval of paired proportions, which counts half an image more in each of the four
        cells, so that few images without a loss prove little.

    Source: Agresti and Min 2005, section 2.
    """
    drop = (lost - gained) / (n + 2)
    variance = ((lost + gained + 1) / (n + 2) - drop * drop) / (n + 2)
    return drop + _NORMAL.inv_cdf(_CONFIDENCE) * float(np.sqrt(variance))
