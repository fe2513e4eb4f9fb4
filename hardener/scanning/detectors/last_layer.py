"""A look at the last linear layer's weights: needs no images and no run of the network.

A backdoor's target has to win over whatever else an image shows, and training reaches that by
larger weights from the features to the target's logit. The mean of a label's row of weights tells
it: beside the other rows the target's lies to the right.

Source: Fields et al. 2021, Trojan Signatures in DNN Weights (ICCV workshops; arXiv 2109.02836),
section 3. They compare the rows' means by Dixon's Q test; the index beside the median is ours.
"""

from collections.abc import Sequence

import numpy as np

from hardener.arrays import FloatArray
from hardener.documents.scan import LastLayerEvidence
from hardener.errors import ModelError
from hardener.model.linear_head import linear_head
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.finding import LEFT_BEHIND, STANDS_OUT, Finding
from hardener.scanning.look import Look

LEAST_ROWS = 20
"""Of fewer the median deviation tells no outlier: of five clean networks of ten labels that other
people trained three had an index of 3.8 to 7.1."""
_NORMAL_CONSISTENCY = 1.4826
_SMALLEST_DEVIATION_FRACTION = 0.02


def last_layer_finding(
    rows: LastLayerEvidence, calibration: Calibration, said: str = ""
) -> Finding:
    """What the rows of weights say.

    Args:
        rows: their means and anomaly indices.
        calibration: how an anomaly index becomes a score.
        said: a sentence on them.
    """
    enough = len(rows.anomaly_indices) >= LEAST_ROWS
    return Finding(
        scores=calibration.last_layer(row_quantities(rows.anomaly_indices)) if enough else None,
        accuses=STANDS_OUT,
        closing=LEFT_BEHIND,
        untried=True,
        said=(said,) if said else (),
        evidence={"last_layer": rows},
    )


def row_quantities(anomaly_indices: Sequence[float]) -> FloatArray:
    """What the last layer's curve is over: 1 for an index up to 1, near 0 for large ones."""
    indices = np.maximum(np.float32(1), np.asarray(anomaly_indices, np.float32))
    found: FloatArray = (1 / indices).astype(np.float32)
    return found


def row_indices(rows: FloatArray) -> FloatArray:
    """How far each label's mean weight lies above the median of all labels.

    What all rows have in common moves every logit alike and cancels here.

    Args:
        rows: (K, features) weights, one row a label.

    Returns:
        (K,) in scaled median absolute deviations, positive above the median. A deviation under 2 %
        of the mean magnitude of the weights, less their common part, counts as that, so that equal
        rows divide by no zero.
    """
    own = rows.astype(np.float64)
    own = own - own.mean(axis=0)
    means = own.mean(axis=1)
    apart = means - np.median(means)
    deviation = _NORMAL_CONSISTENCY * float(np.median(np.abs(apart)))
    floor = max(_SMALLEST_DEVIATION_FRACTION * float(np.abs(own).mean()), 1e-12)
    return np.asarray(apart / max(deviation, floor), np.float32)


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
        f"{f'; {LEAST_ROWS} labels are needed to judge by that' if len(rows) < LEAST_ROWS else ''}"
    )
    return last_layer_finding(evidence, shipped(), said)


LAST_LAYER = Detector(_run, needs_images=False)
