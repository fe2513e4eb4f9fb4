"""The prunings that a sweep tries: a threshold, what it prunes, and how the head is told."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hardener.arrays import AnyArray, FloatArray
from hardener.data.settings import CLEAN
from hardener.errors import UsageError
from hardener.pruning.criteria import CRITERIA
from hardener.pruning.sweep import guard_feed, keep_feed
from hardener.pruning.thresholds import channels_kept, guard_thresholds, static_thresholds
from hardener.scanning.activations import ChannelNorms

_NOTHING_EXCEEDS = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class PruningOption:
    """One pruning to try.

    Attributes:
        threshold: None where nothing is pruned.
        channels: pruned for good, or for a guard those that fire on some triggered image.
        feed: the head's extra input.
    """

    threshold: float | None
    channels: tuple[int, ...]
    feed: Mapping[str, AnyArray]


def pruning_options(
    criterion: str,
    rewrite: str,
    norms: Mapping[str, ChannelNorms],
    threshold: float | None = None,
) -> list[PruningOption]:
    """Nothing pruned first, then every threshold, or the one that is given.

    Args:
        criterion: a name from CRITERIA.
        rewrite: `guard` for prunings of one image at a time.
        norms: of the clean setting and of at least one attack; a channel's score is its
            highest under any attack.
        threshold: the only one to try.

    Raises:
        UsageError: the given threshold leaves no channel.
    """
    clean = norms[CLEAN]
    attacks = [values for name, values in norms.items() if name != CLEAN]
    scores = np.max([CRITERIA[criterion](clean, attack) for attack in attacks], axis=0)
    if rewrite == "guard":
        thresholds = guard_thresholds(float(clean.linf.max.max()))
    else:
        thresholds = static_thresholds(scores, _paper_start(criterion, clean))
    if threshold is not None:
        if rewrite != "guard" and threshold < float(scores.min()):
            raise UsageError(
                f"--threshold {threshold:g} prunes every channel, after which the model says the "
                f"same of every image: the lowest score by {criterion} is {scores.min():g}"
            )
        thresholds = np.array([threshold], np.float32)
    options = [_option(rewrite, scores, None)]
    return options + [_option(rewrite, scores, float(value)) for value in thresholds]


def _paper_start(criterion: str, clean: ChannelNorms) -> float | None:
    """The clean maximum of the criterion's own norm; a gap has none and starts at its largest."""
    if criterion == "linf-gap":
        return None
    return float(getattr(clean, criterion).max.max())


def _option(rewrite: str, scores: FloatArray, threshold: float | None) -> PruningOption:
    limit = _NOTHING_EXCEEDS if threshold is None else threshold
    kept = channels_kept(scores, limit)
    feed = guard_feed(limit) if rewrite == "guard" else keep_feed(kept)
    return PruningOption(threshold, tuple(int(c) for c in np.flatnonzero(~kept)), feed)
