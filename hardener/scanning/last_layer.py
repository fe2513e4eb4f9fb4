"""A look at the last linear layer's weights, without running the network.

A backdoor's target has to win over whatever else an image shows, and training reaches that by
larger weights from the features to the target's logit. The mean of a label's row of weights tells
it: beside the other rows the target's lies to the right.

Source: Fields et al. 2021, Trojan Signatures in DNN Weights (ICCV workshops; arXiv 2109.02836),
section 3. They compare the rows' means by Dixon's Q test; the index beside the median is ours.
"""

import numpy as np

from hardener.arrays import FloatArray

_NORMAL_CONSISTENCY = 1.4826
_SMALLEST_DEVIATION_FRACTION = 0.02


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
