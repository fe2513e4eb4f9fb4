"""Whether images and triggers suit a model, so that rates measured with them mean something."""

from pathlib import Path

import numpy as np

from hardener.arrays import IntArray
from hardener.errors import DataError, InconclusiveError
from hardener.model.classifier import Classifier
from hardener.triggers.patch import Trigger, load_trigger

_LEAST_OTHERS = 10
_LEAST_OF_SCANNED = 0.8
_LEAST_OF_CLASSES = 0.5


def trigger_for(classifier: Classifier, path: Path) -> Trigger:
    """Reads a trigger that is to be stamped on a model's images.

    Raises:
        DataError: it is none, it changes nothing, or it is for images of another size or for a
            label that the model does not have.
    """
    trigger = load_trigger(path)
    if not trigger.mask.any():
        raise DataError(f"{path} is a trigger whose mask is zero everywhere: it changes no image")
    if not 0 <= trigger.label < classifier.signature.classes:
        raise DataError(
            f"{path} is a trigger for label {trigger.label}, {classifier.model.path} has the "
            f"labels 0 to {classifier.signature.classes - 1}"
        )
    expected = (classifier.signature.channels, *classifier.preprocessing.size)
    if trigger.pattern.shape != expected:
        raise DataError(
            f"{path} is a trigger for (C, H, W) {trigger.pattern.shape}, "
            f"{classifier.model.path} takes {expected}"
        )
    return trigger


def check_others(labels: IntArray, targets: tuple[int, ...], what: str) -> None:
    """Refuses images on which no trigger could be tried.

    Args:
        labels: (N,) true labels of the images that measure.
        targets: whose triggers are tried, on images of other classes.
        what: of the images, for the message.

    Raises:
        InconclusiveError: fewer than 10 are of other classes than a target.
    """
    for target in targets:
        others = int(np.sum(labels != target))
        if others < _LEAST_OTHERS:
            raise InconclusiveError(
                f"only {others} images of {what} are of other classes than label {target}: "
                "attack success would mean nothing; give images of all classes"
            )


def check_classes(labels: IntArray, classes: int, what: str) -> None:
    """Refuses images that leave most of a model's classes out: what those lose would not show.

    Args:
        labels: (N,) true labels of the images.
        classes: of the model.
        what: the images, for the message.

    Raises:
        InconclusiveError: they are of fewer than half of the classes.
    """
    there = len(np.unique(labels))
    if there < _LEAST_OF_CLASSES * classes:
        raise InconclusiveError(
            f"{what} holds images of {there} of the model's {classes} classes: what the others "
            "lose would not show; give images of all classes"
        )


def check_accuracy(accuracy: float, scanned: float | None, what: str) -> None:
    """Refuses images that the model, as it came, does not know.

    Args:
        accuracy: on these images.
        scanned: on the scan's; None where it had none, so that nothing can be compared.
        what: the images, for the message.

    Raises:
        InconclusiveError: accuracy is less than four fifths of the scan's.
    """
    if scanned is not None and accuracy < _LEAST_OF_SCANNED * scanned:
        raise InconclusiveError(
            f"the model gets {accuracy:.1%} of {what} right and got {scanned:.1%} at the scan: "
            "check the labels, or --size, --mean and --std"
        )
