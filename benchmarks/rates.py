"""Accuracy, attack success and robust accuracy of a model, by the true attack."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hardener.arrays import FloatArray, IntArray
from hardener.data.splits import stratified_sample
from hardener.documents.rates import Rate
from hardener.measuring.intervals import wilson
from hardener.model.classifier import Overrides, open_classifier, open_full
from hardener.model.runtime import Machine
from models.attacks.attack import Attack


@dataclass(frozen=True)
class Rates:
    """Of one model on a set of images; all but accuracy None where there is no attack.

    The attack counts on images whose true label is not the one that it wants.

    Attributes:
        accuracy: of the images as they are.
        attack_success: stamped images that go where the attack wants them.
        robust_accuracy: stamped images that go to their true label.
        without_trigger: of the same images, as they are, those that go there anyway.
    """

    accuracy: Rate
    attack_success: Rate | None = None
    robust_accuracy: Rate | None = None
    without_trigger: Rate | None = None

    def as_json(self) -> dict[str, Any]:
        """The rates as plain values, by the names that results have."""
        found = {
            "accuracy": self.accuracy,
            "attack_success_rate": self.attack_success,
            "robust_accuracy": self.robust_accuracy,
            "without_trigger": self.without_trigger,
        }
        return {name: rate.model_dump() if rate else None for name, rate in found.items()}


def rates(
    model: Path,
    data: Path,
    attack: object,
    preprocessing: Overrides = (),
    most: int | None = None,
) -> Rates:
    """Measures a model with the true attack, on at most so many images."""
    classifier = open_classifier(model, preprocessing)
    runner = open_full(classifier.proto, classifier.signature, Machine())
    source = classifier.open_data(data)

    def predicted(images: FloatArray) -> IntArray:
        labels: IntArray = runner.run(classifier.feeds(images))[0].argmax(axis=1)
        return labels[: len(images)]

    indices = None if most is None else stratified_sample(source.labels, most, 0)
    right = hits = kept = anyway = others = 0
    for batch in classifier.batches(source, None if indices is None else np.sort(indices)):
        unmarked = predicted(batch.images)
        right += int((unmarked == batch.labels).sum())
        if not isinstance(attack, Attack):
            continue
        wanted = attack.wanted(torch.from_numpy(batch.labels)).numpy()
        counted = wanted != batch.labels
        stamped = attack.stamp(torch.from_numpy(batch.images)).numpy().astype(np.float32)
        said = predicted(stamped)
        others += int(counted.sum())
        anyway += int((unmarked == wanted)[counted].sum())
        hits += int((said == wanted)[counted].sum())
        kept += int((said == batch.labels)[counted].sum())
    accuracy = wilson(right, len(source) if indices is None else len(indices))
    if not others:
        return Rates(accuracy)
    return Rates(accuracy, *(wilson(count, others) for count in (hits, kept, anyway)))


def percent(rate: dict[str, float] | None) -> str:
    """A rate with its interval, in percent; nothing where there is none."""
    if rate is None:
        return ""
    value, low, high = (100 * rate[name] for name in ("value", "low", "high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"
