"""Whether images suit a model and its scan, so that rates measured on them mean something."""

import numpy as np

from hardener.arrays import IntArray
from hardener.errors import InconclusiveError

_LEAST_OTHERS = 10
_LEAST_OF_SCANNED = 0.5


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


def check_accuracy(accuracy: float, scanned: float, what: str) -> None:
    """Refuses images that the model, as it came, does not know.

    Args:
        accuracy: on these images.
        scanned: on the scan's.
        what: the images, for the message.

    Raises:
        InconclusiveError: accuracy is less than half of the scan's.
    """
    if accuracy < _LEAST_OF_SCANNED * scanned:
        raise InconclusiveError(
            f"the model gets {accuracy:.1%} of {what} right and got {scanned:.1%} at the scan: "
            "check the labels, or --size, --mean and --std"
        )
