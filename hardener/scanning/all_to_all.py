"""What a square does that changes most labels, on images it was not chosen on."""

import numpy as np

from hardener.arrays import IntArray
from hardener.data.images import ImageSource
from hardener.data.settings import Setting
from hardener.documents.scan import SquareEvidence
from hardener.errors import InconclusiveError
from hardener.model.classifier import Classifier
from hardener.model.runtime import Runner
from hardener.scanning.screening import scattered
from hardener.triggers.patch import Trigger


def measure_square(
    classifier: Classifier, runner: Runner, source: ImageSource, unseen: IntArray, square: Trigger
) -> SquareEvidence:
    """Tries a square on images that it was not chosen on.

    Args:
        classifier: the model.
        runner: its session, from `open_full`.
        source: clean images.
        unseen: positions of those to try it on.
        square: mask of ones where it is, pattern of its colour.

    Raises:
        InconclusiveError: the model gives values that are not finite.
    """
    own = _predicted(classifier, runner, source, unseen, ())
    gone_to = _predicted(classifier, runner, source, unseen, (square,))
    rows, columns = np.nonzero(square.mask[0])
    return SquareEvidence(
        top=int(rows[0]),
        left=int(columns[0]),
        side=int(rows[-1] - rows[0]) + 1,
        colour=tuple(map(float, square.pattern[:, rows[0], columns[0]])),
        moved=float(np.mean(gone_to != own)),
        labels=len(np.unique(gone_to[gone_to != own])),
        scattered=scattered(own, gone_to),
    )


def _predicted(
    classifier: Classifier, runner: Runner, source: ImageSource, indices: IntArray, setting: Setting
) -> IntArray:
    """Predicted labels of images under an input setting, in ascending order of their place."""
    parts = [np.empty(0, np.int64)]
    for batch in classifier.batches(source, indices):
        (scores,) = runner.run(classifier.feeds(batch.images, setting))
        scores = scores[: len(batch.labels)]
        classifier.require_class_scores(scores, len(batch.labels))
        if not np.isfinite(scores).all():
            raise InconclusiveError(
                "the model gives values that are not finite: nothing can be said"
            )
        parts.append(scores.argmax(axis=1))
    return np.concatenate(parts)
