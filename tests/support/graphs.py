"""Ten-line classifiers written as ONNX text, with seeded random weights."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import parser

from hardener.arrays import AnyArray, FloatArray
from hardener.model.files import PREPROCESSING_KEY
from hardener.model.observing import observed_shapes
from hardener.model.signature import read_signature

HEADER = '<ir_version: 10, opset_import: ["" : {opset}]>'

PLAIN = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  feature = Relu(c)
  p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)
  d = Flatten(p)
  logits = Gemm<transB=1>(d, w2, b2)
}"""
PLAIN_SHAPES = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (5, 96), "b2": (5,)}

BATCH_NORM = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1)
  n = BatchNormalization(c, scale, shift, mean, variance)
  feature = Clip(n, low, high)
  g = GlobalAveragePool(feature)
  d = Flatten(g)
  logits = Gemm(d, w2, b2)
}"""
BATCH_NORM_SHAPES = {
    "w1": (6, 3, 3, 3), "scale": (6,), "shift": (6,), "mean": (6,), "variance": (6,),
    "low": 0.0, "high": 6.0, "w2": (6, 5), "b2": (5,),
}  # fmt: skip

RESIDUAL = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  r = Relu(a)
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(r, w2, b2)
  s = Add(c, r)
  feature = Relu(s)
  g = ReduceMean<axes=[2,3], keepdims=0>(feature)
  logits = Gemm<transB=1>(g, w3, b3)
}"""
RESIDUAL_SHAPES = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w2": (6, 6, 3, 3), "b2": (6,), "w3": (5, 6), "b3": (5,),
}  # fmt: skip

SQUEEZE = """
classifier (float[N,3,8,8] x) => (float[N,5] probabilities) {
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  s = Sigmoid(a)
  left = Mul(a, s)
  right = Relu(a)
  feature = Concat<axis=1>(left, right)
  c = Conv<kernel_shape=[1,1]>(feature, w2, b2)
  r = Relu(c)
  g = GlobalAveragePool(r)
  d = Flatten(g)
  probabilities = Softmax(d)
}"""
SQUEEZE_SHAPES = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (5, 12, 1, 1), "b2": (5,)}

GATED = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  s = Sigmoid(a)
  feature = Mul(a, s)
  g = GlobalMaxPool(feature)
  d = Reshape(g, shape)
  logits = MatMul(d, w2)
}"""
GATED_SHAPES = {"w1": (6, 3, 3, 3), "b1": (6,), "shape": [-1, 6], "w2": (6, 5)}

SHARED = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  r = Relu(a)
  q = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  t = Tanh(q)
  z = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(t, w3, b1)
  s = Add(z, r)
  y = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(s, w3, b1)
  feature = Relu(y)
  p = AveragePool<kernel_shape=[2,2], strides=[2,2]>(feature)
  d = Flatten(p)
  logits = Gemm<transB=1>(d, w2, b2)
}"""
SHARED_SHAPES = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w3": (6, 6, 3, 3), "w2": (5, 96), "b2": (5,),
}  # fmt: skip

Shapes = Mapping[str, object]

TRANSFORMER = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[4,4], strides=[4,4]>(x, patch, patch_bias)
  f = Reshape(c, tokens)
  t = Transpose<perm=[0,2,1]>(f)
  q = MatMul(t, wq)
  k = MatMul(t, wk)
  kt = Transpose<perm=[0,2,1]>(k)
  scores = MatMul(q, kt)
  weights = Softmax<axis=-1>(scores)
  mixed = MatMul(weights, t)
  a = Add(t, mixed)
  h = MatMul(a, w1)
  hb = Add(h, b1)
  feature = Relu(hb)
  o = MatMul(feature, w2)
  z = Add(a, o)
  n = LayerNormalization(z, scale, shift)
  token = ReduceMean<axes=[1], keepdims=0>(n)
  logits = Gemm<transB=1>(token, w3, b3)
}"""
TRANSFORMER_SHAPES: Shapes = {
    "patch": (6, 3, 4, 4), "patch_bias": (6,), "tokens": [0, 6, -1], "wq": (6, 6), "wk": (6, 6),
    "w1": (6, 12), "b1": (12,), "w2": (12, 6), "scale": (6,), "shift": (6,),
    "w3": (5, 6), "b3": (5,),
}  # fmt: skip

NHWC = """
classifier (float[N,8,8,3] x) => (float[N,5] logits) {
  t = Transpose<perm=[0,3,1,2]>(x)
  c = Conv<kernel_shape=[3,3]>(t, w1, b1)
  u = Transpose<perm=[0,2,3,1]>(c)
  feature = Relu(u)
  g = ReduceMean<axes=[1,2], keepdims=0>(feature)
  m = MatMul(g, w2)
  logits = Add(m, b2)
}"""
NHWC_SHAPES: Shapes = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (6, 5), "b2": (5,)}

DEPTHWISE = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  a = Conv<kernel_shape=[1,1]>(x, w1, b1)
  d = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=6>(a, w2)
  n = BatchNormalization(d, scale, shift, mean, variance)
  r = Relu(n)
  feature = Conv<kernel_shape=[1,1]>(r, w3, b3)
  g = GlobalAveragePool(feature)
  f = Flatten(g)
  logits = Gemm<transB=1>(f, w4, b4)
}"""
DEPTHWISE_SHAPES: Shapes = {
    "w1": (6, 3, 1, 1), "b1": (6,), "w2": (6, 1, 3, 3), "scale": (6,), "shift": (6,),
    "mean": (6,), "variance": (6,), "w3": (8, 6, 1, 1), "b3": (8,), "w4": (5, 8), "b4": (5,),
}  # fmt: skip

CROSSED = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1)
  b = Conv<kernel_shape=[1,1]>(x, w2, b2)
  nb = BatchNormalization<epsilon=0.5>(b, scale_b, shift_b, mean_b, variance)
  na = BatchNormalization(a, scale_a, shift_a, mean_a, variance)
  s = Add(na, nb)
  feature = Relu(s)
  g = GlobalAveragePool(feature)
  f = Flatten(g)
  logits = Gemm<transB=1>(f, w4, b4)
}"""
CROSSED_SHAPES: Shapes = {
    "w1": (6, 3, 3, 3), "w2": (6, 3, 1, 1), "b2": (6,), "scale_a": (6,), "shift_a": (6,),
    "mean_a": (6,), "scale_b": (6,), "shift_b": (6,), "mean_b": (6,), "variance": (6,),
    "w4": (5, 6), "b4": (5,),
}  # fmt: skip

ALL: dict[str, tuple[str, Shapes, int]] = {
    "plain": (PLAIN, dict(PLAIN_SHAPES), 6),
    "batch norm": (BATCH_NORM, dict(BATCH_NORM_SHAPES), 6),
    "residual": (RESIDUAL, dict(RESIDUAL_SHAPES), 6),
    "squeeze": (SQUEEZE, dict(SQUEEZE_SHAPES), 12),
    "gated": (GATED, dict(GATED_SHAPES), 6),
    "shared weights": (SHARED, dict(SHARED_SHAPES), 6),
}


def classifier(text: str, shapes: Shapes, *, opset: int = 17, seed: int = 0) -> onnx.ModelProto:
    """Parses a graph and fills in its weights.

    A tuple is the shape of random weights, a number a scalar, a list whole numbers.
    """
    model: onnx.ModelProto = parser.parse_model(HEADER.format(opset=opset) + text)
    rng = np.random.default_rng(seed)
    for name, shape in shapes.items():
        if isinstance(shape, tuple):
            values: AnyArray = rng.normal(0, 0.5, shape).astype(np.float32)
            if name == "variance":
                values = np.abs(values) + 0.1
        elif isinstance(shape, list):
            values = np.array(shape)
            values = values.astype(np.float32 if values.dtype == np.float64 else np.int64)
        else:
            values = np.array(shape, np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    onnx.checker.check_model(model, full_check=True)
    return model


def images(count: int = 4, seed: int = 1) -> FloatArray:
    """Network input for these classifiers."""
    return np.random.default_rng(seed).normal(size=(count, 3, 8, 8)).astype(np.float32)


def shapes_of(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Shapes of every tensor on two images of noise."""
    signature = read_signature(model)
    return observed_shapes(model, {signature.input: signature.example((8, 8))})


def saved(model: onnx.ModelProto, path: Path) -> Path:
    """Writes a model with preprocessing in its metadata."""
    onnx.helper.set_model_props(
        model, {PREPROCESSING_KEY: '{"size": [8, 8], "mean": [0.5], "std": [0.25]}'}
    )
    onnx.save_model(model, path)
    return path
