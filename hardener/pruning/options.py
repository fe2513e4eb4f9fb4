"""The prunings that a sweep tries: a threshold, what it prunes, and how the head is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardener.arrays import AnyArray, FloatArray
from hardener.data.settings import CLEAN
from hardener.errors import InconclusiveError, UsageError
from hardener.model.rewriting import REWRITES
from hardener.pruning.criteria import CRITERIA
from hardener.pruning.limits import LIMIT_CRITERIA
from hardener.pruning.sweep import FeatureBatch, keep_feed, limit_feed
from hardener.pruning.thresholds import channels_kept, static_thresholds
from hardener.scanning.activations import ChannelNorms, joined

_NOTHING_EXCEEDS = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class PruningOption:
    """One pruning to try.

    Attributes:
        threshold: None where nothing is pruned.
        channels: pruned for good, or those that exceed a guard's or clip's limit on some
            triggered image.
        feed: the head's extra input.
        limits: of a guard or clip, one a channel; none where it is the threshold for all.
    """

    threshold: float | None
    channels: tuple[int, ...]
    feed: Mapping[str, AnyArray]
    limits: tuple[float, ...] = ()


def options_for(
    criterion: str, rewrite: str, batches: Sequence[FeatureBatch], threshold: float | None = None
) -> list[PruningOption]:
    """What a sweep tries for a rewrite.

    Args:
        criterion: a name from LIMIT_CRITERIA for a guard or clip, else from CRITERIA.
        rewrite: how it will be written.
        batches: of the images that choose, by the probes' names; `CLEAN` is one of them.
        threshold: the only one to try.

    Raises:
        UsageError: the given threshold leaves no channel.
    """
    norms = {name: joined(batch.norms[name] for batch in batches) for name in batches[0].norms}
    if not REWRITES[rewrite].limiting:
        return pruning_options(criterion, norms, threshold)
    peaks = np.concatenate([batch.peaks[CLEAN] for batch in batches])
    return limit_options(criterion, norms, peaks, threshold)


def pruning_options(
    criterion: str, norms: Mapping[str, ChannelNorms], threshold: float | None = None
) -> list[PruningOption]:
    """Nothing pruned first, then channels pruned for good by every threshold, or the given one.

    Args:
        criterion: a name from CRITERIA.
        norms: of the clean setting and of at least one attack; a channel's score is its
            highest under any attack.
        threshold: the only one to try.

    Raises:
        UsageError: the given threshold leaves no channel.
    """
    clean = norms[CLEAN]
    attacks = [values for name, values in norms.items() if name != CLEAN]
    found = CRITERIA[criterion]
    scores = np.max([found.scores(clean, attack) for attack in attacks], axis=0)
    start = None if found.sweep_starts_at is None else found.sweep_starts_at(clean)
    thresholds = static_thresholds(scores, start)
    if threshold is not None:
        if threshold < float(scores.min()):
            raise UsageError(
                f"--threshold {threshold:g} prunes every channel, after which the model says the "
                f"same of every image: the lowest score by {criterion} is {scores.min():g}"
            )
        thresholds = np.array([threshold], np.float32)
    options = [_static_option(scores, None)]
    return options + [_static_option(scores, float(value)) for value in thresholds]


def limit_options(
    criterion: str,
    norms: Mapping[str, ChannelNorms],
    peaks: FloatArray,
    threshold: float | None = None,
) -> list[PruningOption]:
    """Nothing limited first, then a guard's or clip's limits by every threshold, or the given one.

    Args:
        criterion: a name from LIMIT_CRITERIA.
        norms: of the clean setting and of at least one attack.
        peaks: (N, C) ℓ∞ norms of clean images, which limits are fitted on.
        threshold: the only one to try.

    Raises:
        InconclusiveError: a peak is not finite, so that no limit could be fitted on it.
    """
    if not np.isfinite(peaks).all():
        raise InconclusiveError(
            "the feature layer holds values that are not finite on clean images: nothing can be "
            "said"
        )
    found = LIMIT_CRITERIA[criterion]
    triggered = np.max([v.linf.max for name, v in norms.items() if name != CLEAN], axis=0)
    thresholds = found.thresholds(peaks) if threshold is None else [threshold]
    options = [PruningOption(None, (), limit_feed(_NOTHING_EXCEEDS))]
    for value in thresholds:
        limit = found.limits(peaks, value)
        channels = tuple(int(c) for c in np.flatnonzero(triggered > limit))
        limits = tuple(limit.tolist()) if limit.ndim else ()
        options.append(PruningOption(value, channels, limit_feed(limit), limits))
    return options


def _static_option(scores: FloatArray, threshold: float | None) -> PruningOption:
    kept = channels_kept(scores, _NOTHING_EXCEEDS if threshold is None else threshold)
    return PruningOption(threshold, tuple(int(c) for c in np.flatnonzero(~kept)), keep_feed(kept))
