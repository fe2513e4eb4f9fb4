"""Many prunings tried at once: the trunk runs once on an image, each pruning costs a head."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx

from hardener.arrays import AnyArray, FloatArray, IntArray
from hardener.data.images import ImageSource
from hardener.measuring.quality import Counts, Probe, count
from hardener.model.classifier import Classifier
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.splitting import split
from hardener.model.summing_head import ADDED_INPUT, SUM_INPUT, SummingHead
from hardener.model.topology import FeatureLayer
from hardener.model.trial_heads import KEEP_INPUT, THRESHOLD_INPUT
from hardener.scanning.activations import ChannelNorms, norms_graph

# From features to the class scores of every pruning, in order.
ScoresOf: TypeAlias = Callable[[Mapping[str, AnyArray]], Iterable[AnyArray]]


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """What the trunk makes of some images, by the names of the probes.

    Attributes:
        labels: (B,) true labels.
        features: what passes from trunk to head where the model is cut, by the tensors' names:
            the feature layer or, smaller, what poolings make of it, and what leads around it.
        norms: of the feature layer's maps.
        peaks: (B, C) their ℓ∞ norms, image by image; small beside `features`.
    """

    labels: IntArray
    features: Mapping[str, Mapping[str, AnyArray]]
    norms: Mapping[str, ChannelNorms]
    peaks: Mapping[str, FloatArray]


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
    return {KEEP_INPUT: channels_kept.astype(np.float32)}


def limit_feed(limit: FloatArray | float) -> dict[str, AnyArray]:
    """The head's extra input for a guard or clip, from () or (C,) in activation units."""
    return {THRESHOLD_INPUT: np.array(limit, np.float32)}


def feature_batches(
    classifier: Classifier,
    layer: FeatureLayer,
    source: ImageSource,
    probes: Mapping[str, Probe],
    *,
    machine: Machine,
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
        machine: what runs the trunk.
        cut: where it is cut in two, from `behind_pooling`; at the feature layer if None.
        indices: positions to use; all if None.
        on_batch: told the number of images of each finished batch.
    """
    signature = classifier.signature
    border = split(classifier.proto, cut or layer, signature).border
    graph = norms_graph(classifier.proto, layer, *border)
    runner = open_runner(graph, machine, batch=signature.batch)
    for batch in classifier.batches(source, indices):
        features: dict[str, dict[str, AnyArray]] = {}
        norms: dict[str, ChannelNorms] = {}
        peaks: dict[str, FloatArray] = {}
        for name, probe in probes.items():
            found = runner.run(classifier.feeds(batch.images, probe.setting))
            features[name] = dict(zip(border, found, strict=False))
            l1, l2, linf = (values[: len(batch.labels)] for values in found[len(border) :])
            norms[name], peaks[name] = ChannelNorms.of(l1, l2, linf), linf
        yield FeatureBatch(batch.labels, features, norms, peaks)
        on_batch(len(batch.labels))


def feature_bytes(classifier: Classifier, layer: FeatureLayer, cut: FeatureLayer) -> int:
    """Memory that passes from trunk to head for one image under one setting, found on noise."""
    signature = classifier.signature
    border = split(classifier.proto, cut, signature).border
    graph = norms_graph(classifier.proto, layer, *border)
    noise = signature.example(classifier.preprocessing.size)
    found = open_runner(graph, Machine(), batch=signature.batch).run({signature.input: noise})
    return sum(values.nbytes for values in found[: len(border)]) // len(noise)


def sweep(
    head: onnx.ModelProto,
    feeds: Sequence[Mapping[str, AnyArray]],
    batches: Iterable[FeatureBatch],
    probes: Mapping[str, Probe],
    *,
    machine: Machine,
    batch_size: int | None = None,
    stepping: SummingHead | None = None,
    on_batch: Callable[[int], None] = lambda _: None,
) -> list[Trial]:
    """Tries every pruning under every probe.

    Args:
        head: from `maskable_head`, `guardable_head` or `clippable_head`, of the same cut.
        feeds: one pruning each, as the head's extra input; the first one prunes nothing and is
            what `lost` and `gained` compare with.
        batches: from `feature_batches`, kept or streamed.
        probes: by name; the first one is clean.
        machine: what runs the head.
        batch_size: how many images the head takes, where the graph fixes that.
        stepping: the same head from `summing_head`, which is used instead where every pruning
            keeps all that some other one keeps.
        on_batch: told the number of images of each finished batch.

    Returns:
        One trial a pruning, in order.
    """
    order = None if stepping is None else _growing(feeds)
    if stepping is None or order is None:
        scores_of = _masked(open_runner(head, machine, batch=batch_size), feeds)
    else:
        scores_of = _stepped(open_runner(stepping.proto, machine), stepping.width, order)
    clean = next(iter(probes))
    totals = [dict.fromkeys(probes, Counts()) for _ in feeds]
    lost, gained = np.zeros(len(feeds), np.int64), np.zeros(len(feeds), np.int64)
    for batch in batches:
        for name, probe in probes.items():
            right_before = None
            for trial, given in enumerate(scores_of(batch.features[name])):
                scores = given[: len(batch.labels)]
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


def _masked(runner: Runner, feeds: Sequence[Mapping[str, AnyArray]]) -> ScoresOf:
    def scores_of(features: Mapping[str, AnyArray]) -> Iterator[AnyArray]:
        placed = {name: runner.placed(values) for name, values in features.items()}
        for feed in feeds:
            yield runner.run({**placed, **feed})[0]

    return scores_of


def _stepped(runner: Runner, width: int, order: Sequence[tuple[int, IntArray]]) -> ScoresOf:
    def scores_of(features: Mapping[str, AnyArray]) -> list[AnyArray]:
        ((name, maps),) = features.items()
        placed = runner.placed(maps)
        total = np.zeros((len(maps), width), np.float32)
        found: dict[int, AnyArray] = {}
        scores = total
        for trial, added in order:
            if len(added):
                feeds = {name: placed, SUM_INPUT: total, ADDED_INPUT: added}
                scores, total = runner.run(feeds)
            found[trial] = scores
        return [found[trial] for trial in range(len(order))]

    return scores_of


def _growing(feeds: Sequence[Mapping[str, AnyArray]]) -> list[tuple[int, IntArray]] | None:
    """Prunings from the fewest channels kept to the most, each with the channels it adds.

    None where one keeps no channel at all, or lacks a channel that a smaller one keeps.
    """
    kept = [set(np.flatnonzero(feed[KEEP_INPUT]).tolist()) for feed in feeds]
    order = sorted(range(len(kept)), key=lambda trial: len(kept[trial]))
    steps: list[tuple[int, IntArray]] = []
    before: set[int] = set()
    for trial in order:
        if not kept[trial] or before - kept[trial]:
            return None
        steps.append((trial, np.array(sorted(kept[trial] - before), np.int64)))
        before = kept[trial]
    return steps
