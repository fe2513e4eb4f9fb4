"""Real model files to start from: small graphs, quantised ones, external data, a victim."""

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import parser
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

import hardener
from benchmarks.setting import ROOT, WEIGHTS
from hardener.model.files import CLASS_NAMES_KEY, PREPROCESSING_KEY
from hardener.model.saving import with_metadata

Files = Mapping[str, bytes]
MODEL = "m.onnx"

_PLAIN = """
g (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  f = Relu(c)
  p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(f)
  d = Flatten(p)
  logits = Gemm<transB=1>(d, w2, b2)
}"""
_RESIDUAL = """
g (float[N,3,8,8] x) => (float[N,5] probabilities) {
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  n = BatchNormalization(a, b1, b1, b1, variance)
  r = Relu(n)
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(r, w3, b1)
  s = Add(c, r)
  f = Relu(s)
  q = GlobalAveragePool(f)
  d = Flatten(q)
  logits = Gemm<transB=1>(d, w4, b2)
  probabilities = Softmax(logits)
}"""
_SHAPED = """
g (float[N,3,H,W] x) => (float[N,5] logits) {
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  f = Sigmoid(a)
  e = Mul(a, f)
  k = Concat<axis=1>(e, f)
  t = Conv<kernel_shape=[1,1]>(k, w5)
  g = ReduceMean<axes=[2,3], keepdims=0>(t)
  z = Shape(x)
  n = Gather(z, zero)
  one = Constant<value_ints=[-1]>()
  u = Unsqueeze(n, axes)
  v = Concat<axis=0>(u, one)
  d = Reshape(g, v)
  o = ConstantOfShape(v2)
  i = Expand(o, v2)
  h = Tile(i, r2)
  m = MatMul(d, w6)
  logits = Add(m, h)
}"""
_WEIGHTS: dict[str, tuple[int, ...]] = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w2": (5, 96), "b2": (5,), "w3": (6, 6, 3, 3), "w4": (5, 6),
    "variance": (6,), "w5": (6, 12, 1, 1), "w6": (6, 5),
}  # fmt: skip
_NUMBERS: dict[str, object] = {"zero": 0, "axes": [0], "v2": [1, 5], "r2": [1, 1]}
_BATCHES = 4


class _Noise(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._left = [rng.random((_BATCHES, 3, 8, 8), np.float32) for _ in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return {"x": self._left.pop()} if self._left else None


def model_seeds() -> dict[str, Files]:
    """Name to files; the model is `m.onnx`, external data lies beside it."""
    seeds: dict[str, Files] = {
        f"{name}, opset {opset}": {MODEL: _graph(text, opset).SerializeToString()}
        for name, text, opset in (
            ("plain", _PLAIN, 11),
            ("plain", _PLAIN, 17),
            ("residual", _RESIDUAL, 13),
            ("residual", _RESIDUAL, 21),
            ("shaped", _SHAPED, 17),
        )
    }
    logging.disable(logging.WARNING)  # the quantizer's advice
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds["external data"] = _external(folder)
        for form in (QuantFormat.QDQ, QuantFormat.QOperator):
            onnx.save_model(_graph(_PLAIN, 17), folder / "p.onnx")
            quantize_static(folder / "p.onnx", folder / "q.onnx", _Noise(), quant_format=form)
            signed = with_metadata(onnx.load(folder / "q.onnx"), _metadata())
            seeds[f"int8 {form.name}"] = {MODEL: signed.SerializeToString()}
        arch = f"{ROOT / 'models' / 'alexnet.py'}:AlexNetSmall"
        hardener.export(WEIGHTS / "alexnet-signs-badnets.safetensors", arch, folder / MODEL)
        seeds["victim"] = {MODEL: (folder / MODEL).read_bytes()}
    return seeds


def _metadata() -> dict[str, str]:
    return {
        PREPROCESSING_KEY: '{"size": [8, 8], "mean": [0.5], "std": [0.25]}',
        CLASS_NAMES_KEY: '["a", "b", "c", "d", "e"]',
    }


def _graph(text: str, opset: int) -> onnx.ModelProto:
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]>{text}')
    rng = np.random.default_rng(0)
    used = {name for node in model.graph.node for name in node.input}
    for name, shape in _WEIGHTS.items():
        values = rng.normal(0, 0.5, shape).astype(np.float32)
        if name in used:
            positive = np.abs(values) + 0.1 if name == "variance" else values
            model.graph.initializer.append(onnx.numpy_helper.from_array(positive, name))
    for name, number in _NUMBERS.items():
        if name in used:
            whole = np.array(number, np.int64)
            model.graph.initializer.append(onnx.numpy_helper.from_array(whole, name))
    signed = with_metadata(model, _metadata())
    onnx.checker.check_model(signed, full_check=True)
    return signed


def _external(folder: Path) -> Files:
    onnx.save_model(
        _graph(_PLAIN, 17),
        folder / MODEL,
        save_as_external_data=True,
        location="w.bin",
        size_threshold=0,
    )
    return {name: (folder / name).read_bytes() for name in (MODEL, "w.bin")}
