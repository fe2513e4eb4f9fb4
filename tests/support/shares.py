"""Classifiers whose labels look at pixels of their own: their margins can be told by hand."""

from collections.abc import Sequence

import numpy as np
import onnx
from support.graphs import classifier

from hardener.arrays import FloatArray

PIXELS = 3 * 8 * 8

_TEXT = """
classifier (float[N,3,8,8] x) => (float[N,{labels}] logits) {{
  c = Conv<kernel_shape=[1,1]>(x, w1)
  feature = Relu(c)
  d = Flatten(feature)
  logits = Gemm<transB=1>(d, rows, bias)
}}"""


def share_rows(sums: Sequence[float]) -> FloatArray:
    """(K, pixels) rows of weights: equal ones on each label's own pixels that sum to its sum."""
    own = PIXELS // len(sums)
    rows = np.zeros((len(sums), PIXELS), np.float32)
    for label, total in enumerate(sums):
        rows[label, label * own : (label + 1) * own] = total / own
    return rows


def share_model(sums: Sequence[float]) -> onnx.ModelProto:
    """Logit c is the weighted sum of its own pixels: at most `sums[c]` on pixels in 0 to 1.

    The largest margin of a label is its own sum: its pixels are white and all others black.
    """
    shapes = {"w1": (3, 3, 1, 1), "rows": (len(sums), PIXELS), "bias": (len(sums),)}
    model = classifier(_TEXT.format(labels=len(sums)), shapes)
    stored = {
        "w1": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1),
        "rows": share_rows(sums),
        "bias": np.zeros(len(sums), np.float32),
    }
    for tensor in model.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(stored[tensor.name], tensor.name))
    return model


def even_sums(labels: int, seed: int = 0) -> list[float]:
    """Sums about 10, none far from the others."""
    return [float(total) for total in np.random.default_rng(seed).normal(10, 0.7, labels)]
