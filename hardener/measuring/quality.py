"""Accuracy, attack success rate and robust accuracy of models under input settings.

The attack success rate is the fraction of triggered images that go to the target label, over
images whose true label is another one; robust accuracy is the fraction of those same images
that go to their true label.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from hardener.arrays import FloatArray, IntArray
from hardener.data.images import Batch, ImageSource
from hardener.data.settings import Setting
from hardener.errors import InconclusiveError
from hardener.model.classifier import Classifier
from hardener.model.runtime import Runner


@dataclass(frozen=True)
class Probe:
    """An input setting and what counts as a hit under it.

    Attributes:
        setting: triggers to stamp.
        target: the label that counts, or (K,) of each true label the one that does, -1 for none;
            None where nothing does.
    """

    setting: Setting = ()
    target: int | IntArray | None = None


@dataclass(frozen=True)
class Counts:
    """Images counted under one input setting.

    Attributes:
        n: all images.
        correct: classified to their true label.
        others: images that a hit would send to another label than their true one; 0 without a
            target.
        hits: of those, classified to the target.
        robust: of those, classified to their true label.
    """

    n: int = 0
    correct: int = 0
    others: int = 0
    hits: int = 0
    robust: int = 0

    @property
    def success_rate(self) -> float:
        """Of the attack; 0 where there were no images to try it on."""
        return self.hits / max(1, self.others)

    @property
    def robust_accuracy(self) -> float:
        """Under attack; 0 where there were no images to try it on."""
        return self.robust / max(1, self.others)

    def __add__(self, more: "Counts") -> "Counts":
        return Counts(
            self.n + more.n,
            self.correct + more.correct,
            self.others + more.others,
            self.hits + more.hits,
            self.robust + more.robust,
        )


def most_successful(attacks: Iterable[Counts]) -> Counts:
    """The counts of the attack that succeeds most, so that none hides behind others' mean."""
    return max(attacks, key=lambda counts: counts.success_rate, default=Counts())


def count(logits: FloatArray, labels: IntArray, target: int | IntArray | None) -> Counts:
    """Counts one batch of logits (N, K) against true labels (N,) and a probe's target.

    Raises:
        InconclusiveError: a logit is not finite.
    """
    if not np.isfinite(logits).all():
        raise InconclusiveError("the model gives values that are not finite: nothing can be said")
    predicted = logits.argmax(axis=1)
    right = predicted == labels
    if target is None:
        return Counts(len(labels), int(right.sum()))
    wanted = np.full_like(labels, target) if isinstance(target, int) else target[labels]
    other = (wanted != labels) & (wanted >= 0)
    return Counts(
        len(labels),
        int(right.sum()),
        int(other.sum()),
        int((predicted == wanted)[other].sum()),
        int(right[other].sum()),
    )


def rule_of(labels: IntArray, gone: IntArray, classes: int) -> IntArray:
    """(K,) to which other label a trigger sends most images of each.

    Args:
        labels: (n,) the images' true ones.
        gone: (n,) those that a model gives them with the trigger, -1 of images not read.
        classes: K.

    Returns:
        Of each label the commonest among its images that go elsewhere; -1 where fewer than half do.
    """
    rule = np.full(classes, -1)
    for label in np.unique(labels):
        there = gone[(labels == label) & (gone >= 0)]
        elsewhere = there[there != label]
        if len(elsewhere) and 2 * len(elsewhere) >= len(there):
            rule[label] = np.bincount(elsewhere).argmax()
    return rule


def measure(
    classifier: Classifier,
    runner: Runner,
    source: ImageSource,
    probes: Mapping[str, Probe],
    *,
    indices: IntArray | None = None,
    on_batch: Callable[[int], None] = lambda _: None,
    on_scores: Callable[[str, Batch, FloatArray], None] = lambda _name, _batch, _scores: None,
) -> dict[str, Counts]:
    """Counts under every probe, in one pass over the images.

    Args:
        classifier: the model.
        runner: its session, from `open_full`.
        source: labelled images.
        probes: what to stamp and which label to count as a hit, by name.
        indices: positions to measure on; all if None.
        on_batch: told the number of images of each finished batch.
        on_scores: told of each probe's scores (B, K) on each batch.

    Returns:
        Counts by the probes' names.
    """
    totals = dict.fromkeys(probes, Counts())
    for batch in classifier.batches(source, indices):
        for name, probe in probes.items():
            (scores,) = runner.run(classifier.feeds(batch.images, probe.setting))
            scores = scores[: len(batch.labels)]
            classifier.require_class_scores(scores, len(batch.labels))
            totals[name] += count(scores, batch.labels, probe.target)
            on_scores(name, batch, scores)
        on_batch(len(batch.labels))
    return totals
