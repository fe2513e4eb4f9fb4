import numpy as np

from hardener.data.settings import CLEAN
from hardener.pruning.options import pruning_options
from hardener.pruning.thresholds import (
    MOST_THRESHOLDS,
    channels_kept,
    growing_thresholds,
    guard_thresholds,
    quantile_thresholds,
    ratio_thresholds,
    static_thresholds,
)
from hardener.scanning.activations import ChannelNorms

SCORES = np.array([3, 1, 2, 2, 5], np.float32)


def test_thresholds_prune_ever_more_and_never_all() -> None:
    thresholds = static_thresholds(SCORES)
    assert thresholds.tolist() == [5, 3, 2, 1]
    assert [int((~channels_kept(SCORES, t)).sum()) for t in thresholds] == [0, 1, 2, 4]


def test_the_papers_start_is_the_clean_maximum() -> None:
    assert static_thresholds(SCORES, start=4).tolist() == [4, 3, 2, 1]
    assert static_thresholds(SCORES, start=9).tolist() == [9, 5, 3, 2, 1]


def test_a_start_below_every_score_still_keeps_a_channel() -> None:
    assert static_thresholds(SCORES, start=0.5).tolist() == [1]


def test_many_channels_are_sampled_evenly() -> None:
    thresholds = static_thresholds(np.arange(2048, dtype=np.float32))
    assert len(thresholds) == MOST_THRESHOLDS
    assert (np.diff(thresholds) < 0).all()
    assert thresholds[-1] == 0


def test_guard_thresholds_go_down_from_the_clean_maximum() -> None:
    thresholds = guard_thresholds(12.0)
    assert thresholds[0] == 12
    assert (np.diff(thresholds) < 0).all()
    assert thresholds[-1] > 0


def test_quantiles_and_ratios_start_at_the_clean_maximum() -> None:
    for thresholds, last in ((quantile_thresholds(), 0.5), (ratio_thresholds(), 0.01)):
        assert len(thresholds) == MOST_THRESHOLDS
        assert (thresholds[0], thresholds[-1]) == (1, last)
        assert (np.diff(thresholds) < 0).all()


def _norms(linf: list[list[float]]) -> ChannelNorms:
    values = np.array(linf, np.float32)
    return ChannelNorms.of(values, values, values)


def test_a_channel_scores_its_worst_attack() -> None:
    norms = {
        CLEAN: _norms([[1, 1, 1]]),
        "clean+syn 1": _norms([[9, 1, 1]]),
        "clean+syn 2": _norms([[1, 4, 1]]),
    }
    options = pruning_options("linf-gap", norms)
    assert [option.channels for option in options] == [(), (), (0,), (0, 1)]
    assert [option.threshold for option in options] == [None, 8, 3, 0]
    assert [float(option.feed["hardener_keep"].sum()) for option in options] == [3, 3, 2, 1]


def test_growing_thresholds_take_the_first_channels_one_by_one() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(500)).astype(np.float32)
    thresholds = growing_thresholds(scores)
    pruned = [int((~channels_kept(scores, value)).sum()) for value in thresholds]
    assert pruned[:6] == [1, 2, 3, 4, 5, 6]
    assert pruned[-1] == 499
    assert pruned == sorted(set(pruned))
    assert len(pruned) <= MOST_THRESHOLDS


def test_growing_thresholds_never_divide_equal_scores_nor_prune_all() -> None:
    assert growing_thresholds(np.array([2, 2, 1, 0, 0], np.float32)).tolist() == [1, 0]
    assert growing_thresholds(np.array([1, 1, 1], np.float32)).tolist() == []
    assert growing_thresholds(np.array([1], np.float32)).tolist() == []
