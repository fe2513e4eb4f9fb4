"""Channel Lipschitzness (CLP): channels that a small change of their input moves most go first.

Source: Zheng, Tang, Li and Liu 2022 (Data-free Backdoor Removal based on Channel Lipschitzness,
ECCV), the upper bound of the channel Lipschitz constant and the threshold μ + u·s of each layer.
"""

import numpy as np

from hardener.arrays import FloatArray
from hardener.model.convolutions import Convolution


def lipschitzness(convolution: Convolution) -> FloatArray:
    """How far each channel's Lipschitz bound lies above its layer's mean; needs no images.

        σ_c = ‖reshape(W'_c, inputs × kernel)‖₂, the largest singular value
        score_c = (σ_c - mean σ) / std σ

    W' is the filter with the scale γ / √(σ² + ε) of the batch normalisation folded in that the
    graph puts behind it. The score is the paper's u, so that one threshold serves all layers.

    Args:
        convolution: whose channels.

    Returns:
        Scores (C,), in standard deviations of the layer; all 0 where its channels do not differ.
    """
    filters = convolution.filters.astype(np.float64)
    matrices = filters.reshape(*filters.shape[:2], -1)
    bounds = np.linalg.norm(matrices, 2, axis=(1, 2))
    above, spread = bounds - bounds.mean(), bounds.std()
    if spread <= np.finfo(np.float32).eps * bounds.max():  # nothing but rounding
        return np.zeros(len(bounds), np.float32)
    return (above / spread).astype(np.float32)
