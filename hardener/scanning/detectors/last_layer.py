"""A label whose weights in the last layer lie apart from the others': needs no images."""

from collections.abc import Sequence

import numpy as np

from hardener.arrays import FloatArray
from hardener.documents.scan import LastLayerEvidence
from hardener.errors import ModelError
from hardener.model.linear_head import linear_head
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.detectors.margins import LEFT_BEHIND, STANDS_OUT
from hardener.scanning.evidence import LEAST_LABELS
from hardener.scanning.finding import Finding
from hardener.scanning.last_layer import row_indices
from hardener.scanning.look import Look


def last_layer_finding(
    rows: LastLayerEvidence, calibration: Calibration, said: str = ""
) -> Finding:
    """What the rows of weights say.

    Args:
        rows: their means and anomaly indices.
        calibration: how an anomaly index becomes a score.
        said: a sentence on them.
    """
    enough = len(rows.anomaly_indices) >= LEAST_LABELS
    return Finding(
        scores=calibration.last_layer(row_quantities(rows.anomaly_indices)) if enough else None,
        accuses=STANDS_OUT,
        closing=LEFT_BEHIND,
        said=(said,),
        evidence={"last_layer": rows},
    )


def row_quantities(anomaly_indices: Sequence[float]) -> FloatArray:
    """What the last layer's curve is over: 1 for an index up to 1, near 0 for large ones."""
    indices = np.maximum(np.float32(1), np.asarray(anomaly_indices, np.float32))
    found: FloatArray = (1 / indices).astype(np.float32)
    return found


def _run(look: Look) -> Finding:
    classifier = look.subject.classifier
    try:
        rows = linear_head(classifier.proto, classifier.signature)
    except ModelError as error:
        return Finding(said=(f"the last layer's weights were not looked at: {error}",))
    if not np.isfinite(rows).all():
        return Finding(said=("the last layer's weights were not looked at: they are not finite",))
    indices = row_indices(rows)
    suspect = int(indices.argmax())
    evidence = LastLayerEvidence(
        mean_weights=tuple(float(row.mean()) for row in rows),
        anomaly_indices=tuple(float(index) for index in indices),
        suspect=suspect,
    )
    said = (
        f"label {suspect} has the largest mean weight in the last layer, anomaly index "
        f"{indices[suspect]:.1f}"
    )
    return last_layer_finding(evidence, shipped(), said)


LAST_LAYER = Detector(_run, needs_images=False)
