"""Attacks from all labels to all: what the square does that most exchanges labels for others."""

import numpy as np

from hardener.arrays import IntArray
from hardener.documents.scan import SquareEvidence
from hardener.errors import InconclusiveError
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.finding import Finding
from hardener.scanning.look import Look
from hardener.scanning.looked_for import EXCHANGES
from hardener.scanning.screening import scattered


def all_to_all_finding(square: SquareEvidence, calibration: Calibration) -> Finding:
    """What the square's effect on unseen images says.

    Args:
        square: what it does.
        calibration: how that becomes a score.
    """
    whole = calibration.moving_score(square.scattered)
    said = (
        f"a {square.side}×{square.side} square at row {square.top}, column {square.left} changes "
        f"the label of {square.moved:.0%} of unseen images and sends them to {square.labels} "
        "labels: "
        "so does an attack from all labels to all"
    )
    return Finding(
        whole=whole,
        against=(said,) if whole >= calibration.clean_below else (),
        favour="no small square changes the label of most images",
        evidence={"moving": square},
    )


def _run(look: Look) -> Finding:
    return all_to_all_finding(_measured(look), shipped())


def _measured(look: Look) -> SquareEvidence:
    """Tries the square on images that it was not chosen on.

    Raises:
        InconclusiveError: the model gives values that are not finite.
    """
    square = look.squares.moving
    own, gone_to = _predicted(look)
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


def _predicted(look: Look) -> tuple[IntArray, IntArray]:
    """Predicted labels of the unseen images, without and with the square."""
    classifier, settings = look.subject.classifier, ((), (look.squares.moving,))
    parts: tuple[list[IntArray], ...] = ([np.empty(0, np.int64)], [np.empty(0, np.int64)])
    for batch in classifier.batches(look.source, look.samples.unseen):
        for found, setting in zip(parts, settings, strict=True):
            (scores,) = look.subject.runner.run(classifier.feeds(batch.images, setting))
            scores = scores[: len(batch.labels)]
            classifier.require_class_scores(scores, len(batch.labels))
            if not np.isfinite(scores).all():
                raise InconclusiveError(
                    "the model gives values that are not finite: nothing can be said"
                )
            found.append(scores.argmax(axis=1))
    own, gone_to = map(np.concatenate, parts)
    return own, gone_to


ALL_TO_ALL = Detector(_run, (EXCHANGES,))
