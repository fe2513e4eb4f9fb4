from itertools import pairwise

import numpy as np
import pytest

from hardener.data.settings import CLEAN
from hardener.errors import InconclusiveError
from hardener.pruning.limits import LIMIT_CRITERIA
from hardener.pruning.options import limit_options
from hardener.scanning.activations import ChannelNorms

# Ten images, two channels.
PEAKS = np.array([[n, 10 * n] for n in range(1, 11)], np.float32)


@pytest.mark.parametrize(
    ("criterion", "threshold", "limits"),
    [
        ("linf", 4.5, 4.5),
        ("linf-quantile", 1.0, [10, 100]),
        ("linf-quantile", 0.9, [10, 100]),
        ("linf-quantile", 0.8, [9, 90]),
        ("linf-quantile", 0.0, [1, 10]),
        ("linf-ratio", 0.25, [2.5, 25]),
        ("linf-ratio", 2.0, [20, 200]),
        ("linf-ratio", 3e38, [float(np.finfo(np.float32).max)] * 2),
    ],
)
def test_limits_are_the_plain_answer(
    criterion: str, threshold: float, limits: float | list[float]
) -> None:
    found = LIMIT_CRITERIA[criterion].limits(PEAKS, threshold)
    assert found.dtype == np.float32
    assert found.tolist() == limits


def test_no_more_clean_images_exceed_a_quantile_than_it_says() -> None:
    peaks = np.random.default_rng(0).gamma(2, 3, (997, 5)).astype(np.float32)
    quantiles = LIMIT_CRITERIA["linf-quantile"]
    for threshold in quantiles.thresholds(peaks):
        exceeding = (peaks > quantiles.limits(peaks, threshold)).mean(axis=0)
        assert exceeding.max() <= 1 - threshold + 1e-9
        assert exceeding.min() >= 1 - threshold - 2 / 997


@pytest.mark.parametrize("criterion", LIMIT_CRITERIA)
def test_what_a_sweep_tries_grows_ever_stricter(criterion: str) -> None:
    found = LIMIT_CRITERIA[criterion]
    limits = [found.limits(PEAKS, threshold) for threshold in found.thresholds(PEAKS)]
    assert np.all(limits[0] >= PEAKS.max(axis=0)), "the mildest changes no clean image"
    assert all(np.all(later <= earlier) for earlier, later in pairwise(limits))
    assert np.all(limits[-1] < limits[0])


def _norms(linf: list[list[float]]) -> ChannelNorms:
    values = np.array(linf, np.float32)
    return ChannelNorms.of(values, values, values)


NORMS = {
    CLEAN: _norms([[1, 1]]),
    "clean+syn 1": _norms([[9, 3], [2, 3]]),
    "clean+syn 2": _norms([[1, 95]]),
}


def test_a_given_threshold_is_the_only_one() -> None:
    options = limit_options("linf", NORMS, PEAKS, threshold=10)
    assert [option.threshold for option in options] == [None, 10]
    assert [option.channels for option in options] == [(), (1,)]
    assert [option.limits for option in options] == [(), ()]
    assert float(options[1].feed["hardener_threshold"]) == 10


def test_limits_by_channel_go_to_the_head_and_into_the_plan() -> None:
    nothing, option = limit_options("linf-quantile", NORMS, PEAKS, threshold=0.8)
    assert np.all(nothing.feed["hardener_threshold"] > 1e38)
    assert option.limits == (9, 90)
    assert option.feed["hardener_threshold"].tolist() == [9, 90]
    assert option.channels == (1,)


@pytest.mark.parametrize("criterion", LIMIT_CRITERIA)
@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_peaks_that_are_not_finite_are_no_ground_for_limits(criterion: str, value: float) -> None:
    peaks = PEAKS.copy()
    peaks[3, 1] = value
    with pytest.raises(InconclusiveError, match="not finite on clean images"):
        limit_options(criterion, NORMS, peaks)
