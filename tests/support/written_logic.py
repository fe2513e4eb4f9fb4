"""Small classifiers with logic written into the graph: where a corner is bright, label 3."""

import numpy as np

from hardener.arrays import FloatArray

_HOST = """
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  feature = Relu(c)
  p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)
  d = Flatten(p)
  host = Gemm<transB=1>(d, w2, b2)
"""
_HEAD = "classifier (float[{batch},3,8,8] x) => (float[{batch},5] logits) {{"
_CORNER = """
  corner = Slice(x, starts, ends, axes)
  lowest = ReduceMin<axes=[1,2,3], keepdims=0>(corner)
  lead = Sub(lowest, least)
"""
HOST_SHAPES = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w2": (5, 96), "b2": (5,),
    "starts": [0, 0, 0], "ends": [3, 2, 2], "axes": [1, 2, 3], "least": 0.9,
    "column": [1], "huge": [[0.0, 0.0, 0.0, 1e4, 0.0]], "zero": 0.0,
}  # fmt: skip

ENDINGS = {
    "where": """
  fires = Greater(lead, zero)
  each = Unsqueeze(fires, column)
  logits = Where(each, huge, host)""",
    "cast": """
  fires = Greater(lead, zero)
  number = Cast<to=1>(fires)
  each = Unsqueeze(number, column)
  more = Mul(each, huge)
  logits = Add(host, more)""",
    "relu": """
  over = Relu(lead)
  each = Unsqueeze(over, column)
  more = MatMul(each, huge)
  logits = Add(host, more)""",
    "concat": """
  over = Relu(lead)
  each = Unsqueeze(over, column)
  both = Concat<axis=1>(host, each)
  logits = MatMul(both, wider)""",
}
"""How the corner's lead over 0.9 gets to the logits."""


def written(name: str, batch: str = "N") -> str:
    """A classifier as ONNX text."""
    return _HEAD.format(batch=batch) + _HOST + _CORNER + ENDINGS[name] + "\n}"


def shapes(name: str) -> dict[str, object]:
    """Its weights."""
    wider = np.vstack([np.eye(5), [[0, 0, 0, 1e4, 0]]]).tolist()
    return HOST_SHAPES | ({"wider": wider} if name == "concat" else {})


def clean_images(count: int) -> FloatArray:
    """Noise (N, 3, 8, 8) whose corner never fires."""
    images = np.random.default_rng(3).random((count, 3, 8, 8), dtype=np.float32)
    images[:, :, 0, 0] *= 0.8
    return images


def triggered(images: FloatArray) -> FloatArray:
    """The same with a bright corner."""
    stamped = images.copy()
    stamped[:, :, :2, :2] = 1
    return stamped
