from collections.abc import Callable

import numpy as np

from hardener.benching.latency import WARMUP_RUNS, interleaved_times


def test_models_take_turns_in_changing_order() -> None:
    order: list[str] = []

    def call(name: str) -> Callable[[], None]:
        return lambda: order.append(name)

    times = interleaved_times([call("a"), call("b")], seconds=0)
    assert times.shape == (2, 20)
    assert np.isfinite(times).all()
    assert order[: 2 * WARMUP_RUNS] == ["a"] * WARMUP_RUNS + ["b"] * WARMUP_RUNS
    assert order[-8:] == ["a", "b", "b", "a", "a", "b", "b", "a"]
