"""Many prunings tried at once: the trunk runs once on an image, each pruning costs a head.

Images are streamed; memory holds one batch of feature maps and the counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import AnyArray, IntArray
from hardener.data.images import ImageSource
from hardener.measuring.quality import Counts, Probe, count
from hardener.model.classifier import Classifier
from hardener.model.runtime import open_runner
from hardener.model.switching import KEEP_INPUT, THRESHOLD_INPUT, trunk_model
from hardener.model.topology import FeatureLayer


@dataclass(frozen=True)
class Trial:
    """What one pruning does.

    Attributes:
        counts: by the names of the probes.
        lost: clean images that only the unpruned model classifies right.
        gained: clean images that only the pruned model classifies right.
    """

    counts: Mapping[str, Counts]
    lost: int
    gained: int


def keep_feed(channels_kept: AnyArray) -> dict[str, AnyArray]:
    """The head's extra input for a static pruning, from (C,) true where a channel stays."""
    return {KEEP_INPUT: channels_kept.astype(np.float32).reshape(1, -1, 1, 1)}


def guard_feed(threshold: float) -> dict[str, AnyArray]:
    """The head's extra input for a guard with this threshold."""
    return {THRESHOLD_INPUT: np.array(threshold, np.float32)}


def sweep(
    classifier: Classifier,
    layer: FeatureLayer,
    head: onnx.ModelProto,
    feeds: Sequence[Mapping[str, AnyArray]],
    source: ImageSource,
    probes: Mapping[str, Probe],
    *,
    provider: str,
    indices: IntArray | None = None,
    on_batch: Callable[[int], None] = lambda _: None,
) -> list[Trial]:
    """Tries every pruning under every probe in one pass over the images.

    Args:
        classifier: the model.
        layer: where it is cut in two.
        head: from `maskable_head` or `guardable_head`.
        feeds: one pruning each, as the head's extra input; the first one prunes nothing and is
            what `lost` and `gained` compare with.
        source: labelled images.
        probes: by name; the first one is clean.
        provider: what runs trunk and head.
        indices: positions to use; all if None.
        on_batch: told the number of images of each finished batch.

    Returns:
        One trial a pruning, in order.
    """
    trunk_runner = open_runner(trunk_model(classifier.proto, layer), provider)
    head_runner = open_runner(head, provider)
    clean = next(iter(probes))
    totals = [dict.fromkeys(probes, Counts()) for _ in feeds]
    lost, gained = np.zeros(len(feeds), np.int64), np.zeros(len(feeds), np.int64)
    for batch in classifier.batches(source, indices):
        for name, probe in probes.items():
            (features,) = trunk_runner.run(classifier.feeds(batch.images, probe.setting))
            right_before = None
            for trial, feed in enumerate(feeds):
                (scores,) = head_runner.run({layer.name: features, **feed})
                totals[trial][name] += count(scores, batch.labels, probe.target)
                if name == clean:
                    right = scores.argmax(axis=1) == batch.labels
                    right_before = right if right_before is None else right_before
                    lost[trial] += np.count_nonzero(right_before & ~right)
                    gained[trial] += np.count_nonzero(right & ~right_before)
        on_batch(len(batch.labels))
    return [
        Trial(counts, int(lost[trial]), int(gained[trial])) for trial, counts in enumerate(totals)
    ]
