"""Prunings of several convolutions tried one after the other, on the whole model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardener.arrays import AnyArray, BoolArray, IntArray
from hardener.data.settings import CLEAN
from hardener.measuring.quality import Counts, Probe, count
from hardener.model.runtime import Runner
from hardener.pruning.sweep import Trial

_HOPELESS_DROP = 0.05


@dataclass(frozen=True, eq=False)
class InputBatch:
    """Images as the network takes them.

    Attributes:
        labels: (B,) true labels.
        feeds: by the probes' names, the model's input with the probe's triggers stamped.
    """

    labels: IntArray
    feeds: Mapping[str, Mapping[str, AnyArray]]


def sweep_convolutions(
    runner: Runner,
    prunings: Sequence[Mapping[str, AnyArray]],
    batches: Sequence[InputBatch],
    probes: Mapping[str, Probe],
    max_accuracy_drop: float,
    on_pruning: Callable[[int], None],
) -> list[Trial]:
    """Tries prunings in turn, until one costs five points of accuracy more than may be lost.

    Args:
        runner: of a model from `maskable_model`.
        prunings: its further inputs; the first one prunes nothing, each later one more.
        batches: of the images that choose.
        probes: by name; `CLEAN` is one of them.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.
        on_pruning: told the number of finished prunings.

    Returns:
        One trial a pruning, in order; there may be fewer than prunings.
    """
    trials: list[Trial] = []
    right_before: list[BoolArray] = []
    for number, pruning in enumerate(prunings):
        counts: dict[str, Counts] = {}
        for name, probe in sorted(probes.items(), key=lambda item: item[0] != CLEAN):
            found = [
                runner.run({**batch.feeds[name], **pruning})[0][: len(batch.labels)]
                for batch in batches
            ]
            parts = [
                count(scores, batch.labels, probe.target)
                for scores, batch in zip(found, batches, strict=True)
            ]
            counts[name] = sum(parts, Counts())
            if name == CLEAN:
                right = [
                    scores.argmax(axis=1) == batch.labels
                    for scores, batch in zip(found, batches, strict=True)
                ]
        right_before = right_before or right
        pairs = list(zip(right_before, right, strict=True))
        lost = sum(int(np.count_nonzero(old & ~new)) for old, new in pairs)
        gained = sum(int(np.count_nonzero(new & ~old)) for old, new in pairs)
        trials.append(Trial(counts, lost, gained))
        if (lost - gained) / counts[CLEAN].n > max_accuracy_drop + _HOPELESS_DROP:
            on_pruning(len(prunings) - number)
            break
        on_pruning(1)
    return trials
