"""Criteria: activations under the synthetic trigger to one score a channel; larger goes first."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from hardener.arrays import FloatArray
from hardener.scanning.activations import ChannelNorms

Criterion: TypeAlias = Callable[[ChannelNorms, ChannelNorms], FloatArray]


def linf(clean: ChannelNorms, triggered: ChannelNorms) -> FloatArray:
    """Peak activation of each channel over all triggered images.

        score_c = max_n ‖A_c(stamp(x_n))‖∞

    Args:
        clean: norms of the clean images; not used.
        triggered: norms of the same images with the trigger stamped on.

    Returns:
        Scores (C,), in activation units.

    Source: Cheng et al. 2020, section 5.1.
    """
    del clean
    return triggered.linf.max


def linf_gap(clean: ChannelNorms, triggered: ChannelNorms) -> FloatArray:
    """Mean rise of each channel's peak activation under the trigger.

        gap_c = mean_n ‖A_c(stamp(x_n))‖∞ - mean_n ‖A_c(x_n)‖∞

    Args:
        clean: norms of the clean images.
        triggered: norms of the same images with the trigger stamped on.

    Returns:
        Scores (C,), in activation units; negative where the trigger quietens a channel.

    Source: Cheng et al. 2020, section 4 (ℓ∞ outliers) and section 6 (the gap).
    """
    return (triggered.linf.mean - clean.linf.mean).astype(np.float32)


def l1(clean: ChannelNorms, triggered: ChannelNorms) -> FloatArray:
    """Largest ℓ1 norm of each channel's map over all triggered images (section 4)."""
    del clean
    return triggered.l1.max


def l2(clean: ChannelNorms, triggered: ChannelNorms) -> FloatArray:
    """Largest ℓ2 norm of each channel's map over all triggered images (section 4)."""
    del clean
    return triggered.l2.max


CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {"linf": linf, "linf-gap": linf_gap, "l1": l1, "l2": l2}
)
