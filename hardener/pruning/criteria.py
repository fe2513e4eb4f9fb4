"""Criteria: activations under the synthetic trigger to one score a channel; larger goes first."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from hardener.arrays import FloatArray
from hardener.scanning.activations import ChannelNorms


@dataclass(frozen=True)
class Criterion:
    """A way to score the feature layer's channels.

    Attributes:
        scores: from the norms of clean and of triggered images to scores (C,).
        sweep_starts_at: from the norms of clean images to the threshold that a sweep starts at;
            None: at the largest score.
    """

    scores: Callable[[ChannelNorms, ChannelNorms], FloatArray]
    sweep_starts_at: Callable[[ChannelNorms], float] | None = None


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


CRITERIA: Mapping[str, Criterion] = {
    # A norm starts at its clean maximum, as in the paper.
    "linf": Criterion(linf, lambda clean: float(clean.linf.max.max())),
    "linf-gap": Criterion(linf_gap),
    "l1": Criterion(l1, lambda clean: float(clean.l1.max.max())),
    "l2": Criterion(l2, lambda clean: float(clean.l2.max.max())),
}
