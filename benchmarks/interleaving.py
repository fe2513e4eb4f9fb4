"""Two ways of doing the same, timed in turns so that other load on the machine hits both."""

import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hardener.arrays import DoubleArray
from hardener.documents.rates import Ratio
from hardener.measuring.intervals import paired_ratio

Work = Callable[[int], object]


@dataclass(frozen=True, eq=False)
class Times:
    """Two ways, round by round.

    Attributes:
        wall: (2, R) seconds that passed.
        processor: (2, R) seconds of processor time, which other programs do not lengthen.
        load: processes that wanted to run, on average over the last minute, before and after.
    """

    wall: DoubleArray
    processor: DoubleArray
    load: tuple[float, float]

    @property
    def wall_ratio(self) -> Ratio:
        """The first way's time against the second's."""
        return paired_ratio(self.wall[0], self.wall[1], seed=0)

    @property
    def processor_ratio(self) -> Ratio:
        """The first way's processor time against the second's."""
        return paired_ratio(self.processor[0], self.processor[1], seed=0)

    def document(self) -> dict[str, object]:
        """All of it for a JSON file."""
        return {
            "seconds": self.wall.tolist(),
            "processor_seconds": self.processor.tolist(),
            "ratio": self.wall_ratio.model_dump(),
            "processor_ratio": self.processor_ratio.model_dump(),
            "load": self.load,
        }


def interleaved(one: Work, other: Work, rounds: int) -> Times:
    """Times `one` and `other` in turns, each first in every second round.

    Args:
        one: called with the round's number; nothing warms it up.
        other: likewise.
        rounds: how many.
    """
    before = os.getloadavg()[0]
    wall, processor = np.zeros((2, rounds)), np.zeros((2, rounds))
    for round_ in range(rounds):
        for which in (0, 1) if round_ % 2 else (1, 0):
            started, used = time.perf_counter(), processor_seconds()
            (one, other)[which](round_)
            wall[which, round_] = time.perf_counter() - started
            processor[which, round_] = processor_seconds() - used
    return Times(wall, processor, (before, os.getloadavg()[0]))


def processor_seconds() -> float:
    """Of this process and of its finished children."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def shown(ratio: Ratio) -> str:
    """A ratio with its interval."""
    return f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"


def circumstances(times: Times) -> str:
    """What else ran: a sentence for the result file."""
    before, after = times.load
    return (
        f"Load average {before:.1f} before and {after:.1f} after (other programs may have run at "
        "the same time; processor seconds leave them out)."
    )
