"""One operator in a graph: run by onnxruntime, and by torch with its gradient."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
import torch
from onnx import parser

from hardener.arrays import AnyArray, FloatArray
from hardener.model.differentiation.building import read_plan
from hardener.model.differentiation.fusing import fused
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.runtime import Machine, open_runner

_IR_VERSIONS = {7: 6, 8: 6, 9: 6, 10: 6, 11: 6, 12: 7, 13: 7, 21: 10, 22: 10, 23: 11, 24: 12}


@dataclass(frozen=True, eq=False)
class Case:
    """Nodes that make y of x.

    Attributes:
        nodes: as onnx's parser reads them.
        weights: a tuple is a shape of random weights; anything else is the weight itself, whole
            numbers as int64.
        opset: of the standard operators.
        shape: of x.
        smooth: whether the gradient is compared with differences of onnxruntime's output.
        low: smallest x; the largest is `high`.
        high: largest x.
        tolerance: largest difference of y.
    """

    nodes: str
    weights: Mapping[str, object] = field(default_factory=dict)
    opset: int = 17
    shape: tuple[int, ...] = (2, 3, 6, 7)
    smooth: bool = True
    low: float = -2.0
    high: float = 2.0
    tolerance: float = 1e-4

    def model(self) -> onnx.ModelProto:
        """The graph with its weights."""
        size = ",".join(map(str, self.shape))
        ir = _IR_VERSIONS.get(self.opset, 8)
        header = f'<ir_version: {ir}, opset_import: ["":{self.opset}, "com.microsoft":1]>\n'
        text = f"{header}g (float[{size}] x) => (float y) {{\n{self.nodes}\n}}"
        model: onnx.ModelProto = parser.parse_model(text)
        rng = np.random.default_rng(0)
        for name, given in self.weights.items():
            if isinstance(given, tuple):
                values: AnyArray = rng.uniform(0.2, 1, given).astype(np.float32)
                values *= rng.choice([-1, 1], given).astype(np.float32) if name != "var" else 1
            elif isinstance(given, np.ndarray):
                values = given
            else:
                values = np.array(given)
                values = values.astype(np.float32 if values.dtype.kind == "f" else values.dtype)
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        return model

    def x(self) -> FloatArray:
        """Random input."""
        rng = np.random.default_rng(1)
        return rng.uniform(self.low, self.high, self.shape).astype(np.float32)


def network_of(model: onnx.ModelProto) -> GraphNetwork:
    """The graph in torch."""
    return GraphNetwork(fused(read_plan(model, "x", "y")), channels_last=False)


def check(case: Case) -> None:
    """Compares torch with onnxruntime: the output, and its slope along random directions."""
    model, x = case.model(), case.x()
    network, runner = network_of(model), open_runner(model, Machine(threads=1))

    def by_onnxruntime(values: FloatArray) -> FloatArray:
        return np.asarray(runner.run({"x": values})[0], np.float64)

    image = torch.from_numpy(x).requires_grad_()
    found, expected = network(image), by_onnxruntime(x)
    assert tuple(found.shape) == expected.shape
    np.testing.assert_allclose(
        found.detach().numpy(), expected, atol=case.tolerance, rtol=case.tolerance
    )
    if not case.smooth:
        return
    rng = np.random.default_rng(2)
    weight = rng.normal(size=expected.shape)
    (gradient,) = torch.autograd.grad((found * torch.from_numpy(weight)).sum(), image)
    errors = []
    for _ in range(5):
        direction = rng.normal(size=x.shape).astype(np.float32)
        step = np.float32(5e-4)
        there, back = by_onnxruntime(x + step * direction), by_onnxruntime(x - step * direction)
        slope = ((there - back) * weight).sum() / (2 * float(step))
        errors.append(abs(slope - float((gradient.numpy() * direction).sum())))
    # A step over a kink or a jump spoils one direction, not most of them.
    assert np.median(errors) < 0.02 * (float(gradient.norm()) + 1e-3)
