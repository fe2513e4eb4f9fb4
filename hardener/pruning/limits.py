"""What a guard or a clip compares each image's activations with: one number, or one a channel.

Limits come from clean images alone. A sweep goes over one number, the threshold; a criterion
says what limits that number stands for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from hardener.arrays import FloatArray
from hardener.pruning.thresholds import (
    guard_thresholds,
    quantile_thresholds,
    ratio_thresholds,
)


@dataclass(frozen=True)
class LimitCriterion:
    """A way from a threshold to limits.

    Attributes:
        limits: from the peaks (N, C) of clean images, their ℓ∞ norms, and a threshold to limits
            (C,), or () where they are the same for all channels; in activation units.
        thresholds: from the same peaks to the thresholds that a sweep tries, descending.
        highest: largest threshold that has a meaning; the smallest is 0.
        meaning: of the threshold, in words.
    """

    limits: Callable[[FloatArray, float], FloatArray]
    thresholds: Callable[[FloatArray], list[float]]
    highest: float
    meaning: str


def same(peaks: FloatArray, threshold: float) -> FloatArray:
    """The threshold itself: limit_c = t."""
    del peaks
    return np.array(threshold, np.float32)


def quantile(peaks: FloatArray, threshold: float) -> FloatArray:
    """A quantile of each channel's own clean peaks: limit_c = Q_t({‖A_c(x_n)‖∞}).

    It is one of the peaks, so that of the clean images a fraction of at most 1 - t exceeds it.
    """
    return np.quantile(peaks, threshold, axis=0, method="higher").astype(np.float32)


def ratio(peaks: FloatArray, threshold: float) -> FloatArray:
    """A fraction of each channel's clean maximum: limit_c = t · max_n ‖A_c(x_n)‖∞."""
    limits = threshold * peaks.max(axis=0).astype(np.float64)
    return np.minimum(limits, np.finfo(np.float32).max).astype(np.float32)


LIMIT_CRITERIA: Mapping[str, LimitCriterion] = MappingProxyType(
    {
        "linf": LimitCriterion(
            same,
            lambda peaks: guard_thresholds(float(peaks.max())).tolist(),
            np.inf,
            "an ℓ∞ norm in activation units, 0 or larger",
        ),
        "linf-quantile": LimitCriterion(
            quantile,
            lambda _: quantile_thresholds().tolist(),
            1.0,
            "a quantile of each channel's clean ℓ∞ norms, from 0 to 1",
        ),
        "linf-ratio": LimitCriterion(
            ratio,
            lambda _: ratio_thresholds().tolist(),
            np.inf,
            "a multiple of each channel's largest clean ℓ∞ norm, 0 or larger",
        ),
    }
)
