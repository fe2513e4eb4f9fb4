"""Many prunings tried at once: the trunk runs once on an image, each pruning costs a head."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import AnyArray, FloatArray, IntArray
from hardener.data.images import ImageSource
from hardener.measuring.quality import Counts, Probe, count
from hardener.model.classifier import Classifier
from hardener.model.runtime import open_runner
from hardener.model.switching import KEEP_INPUT, THRESHOLD_INPUT
from hardener.model.topology import FeatureLayer
from hardener.scanning.activations import ChannelNorms, norms_graph


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """What the trunk makes of some images, by the names of the probes.

    Attributes:
        labels: (B,) true labels.
        features: (B, C, h, w) maps where the model is cut: the feature layer's or, smaller,
            what poolings make of them.
        norms: of the feature layer's maps.
    """

    labels: IntArray
    features: Mapping[str, FloatArray]
    norms: Mapping[str, ChannelNorms]

    @property
    def nbytes(self) -> int:
        """Memory that the feature maps take."""
        return sum(features.nbytes for features in self.features.values())


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


def feature_batches(
    classifier: Classifier,
    layer: FeatureLayer,
    source: ImageSource,
    probes: Mapping[str, Probe],
    *,
    provider: str,
    cut: FeatureLayer | None = None,
    indices: IntArray | None = None,
    on_batch: Callable[[int], None] = lambda _: None,
) -> Iterator[FeatureBatch]:
    """Runs the trunk over images, batch by batch, with every probe stamped.

    Args:
        classifier: the model.
        layer: its feature layer.
        source: labelled images.
        probes: by name.
        provider: what runs the trunk.
        cut: where it is cut in two, from `behind_pooling`; at the feature layer if None.
        indices: positions to use; all if None.
        on_batch: told the number of images of each finished batch.
    """
    border = (cut or layer).name
    runner = open_runner(norms_graph(classifier.proto, layer, border), provider)
    for batch in classifier.batches(source, indices):
        features: dict[str, FloatArray] = {}
        norms: dict[str, ChannelNorms] = {}
        for name, probe in probes.items():
            features[name], *rows = runner.run(classifier.feeds(batch.images, probe.setting))
            norms[name] = ChannelNorms.of(*rows)
        yield FeatureBatch(batch.labels, features, norms)
        on_batch(len(batch.labels))


def sweep(
    cut: FeatureLayer,
    head: onnx.ModelProto,
    feeds: Sequence[Mapping[str, AnyArray]],
    batches: Iterable[FeatureBatch],
    probes: Mapping[str, Probe],
    *,
    provider: str,
    on_batch: Callable[[int], None] = lambda _: None,
) -> list[Trial]:
    """Tries every pruning under every probe.

    Args:
        cut: where the model is cut in two.
        head: from `maskable_head` or `guardable_head`, of the same cut.
        feeds: one pruning each, as the head's extra input; the first one prunes nothing and is
            what `lost` and `gained` compare with.
        batches: from `feature_batches`, kept or streamed.
        probes: by name; the first one is clean.
        provider: what runs the head.
        on_batch: told the number of images of each finished batch.

    Returns:
        One trial a pruning, in order.
    """
    runner = open_runner(head, provider)
    clean = next(iter(probes))
    totals = [dict.fromkeys(probes, Counts()) for _ in feeds]
    lost, gained = np.zeros(len(feeds), np.int64), np.zeros(len(feeds), np.int64)
    for batch in batches:
        for name, probe in probes.items():
            right_before = None
            features = runner.placed(batch.features[name])
            for trial, feed in enumerate(feeds):
                (scores,) = runner.run({cut.name: features, **feed})
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
