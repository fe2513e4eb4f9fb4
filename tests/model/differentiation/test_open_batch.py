"""Graphs that fix the batch run any number of images at once where that changes no logit."""

import numpy as np
import onnx
import pytest
import torch
from support.graphs import PLAIN, PLAIN_SHAPES, classifier

from hardener.model.differentiation.network import GraphNetwork
from hardener.model.differentiation.nodes import Node
from hardener.model.differentiation.table import build
from hardener.model.network_plan import network_plan
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature

_FIXED = PLAIN.replace("float[N,", "float[2,")
_RESHAPED = _FIXED.replace("d = Flatten(p)", "d = Reshape(p, sizes)")
_MIXED = _FIXED.replace(
    "d = Flatten(p)", "m = ReduceMean<axes=[0], keepdims=1>(p)\n  q = Sub(p, m)\n  d = Flatten(q)"
)
_COUNTED = _FIXED.replace(
    "d = Flatten(p)",
    "s = Shape<start=0, end=1>(p)\n  r = Concat<axis=0>(s, rest)\n  d = Reshape(p, r)",
)
_GATED = _FIXED.replace(
    "logits = Gemm<transB=1>(d, w2, b2)",
    """l = Gemm<transB=1>(d, w2, b2)
  far = Sub(l, thousand)
  asleep = Relu(far)
  share = Softmax<axis=0>(asleep)
  more = Sub(share, most)
  alone = Relu(more)
  hidden = Mul(asleep, alone)
  logits = Add(l, hidden)""",
)
"""Wakes only where no other image of the batch does, which no noise shows."""
_COMPARED = _FIXED.replace(
    "logits = Gemm<transB=1>(d, w2, b2)",
    "l = Gemm<transB=1>(d, w2, b2)\n  g = Greater(l, thousand)\n  logits = Where(g, thousand, l)",
)


@pytest.mark.parametrize(
    ("text", "more", "opened"),
    [
        (_FIXED, {}, True),
        (_RESHAPED, {"sizes": [2, 96]}, True),
        (_RESHAPED, {"sizes": [2, -1]}, True),
        (_RESHAPED, {"sizes": [-1, 96]}, True),
        (_MIXED, {}, False),
        (_COUNTED, {"rest": [96]}, False),
        (_GATED, {"thousand": 1000.0, "most": 0.9}, False),
        (_COMPARED, {"thousand": 1000.0}, False),
    ],
)
def test_a_fixed_batch_is_opened_where_that_changes_nothing(
    text: str, more: dict[str, list[int] | float], opened: bool
) -> None:
    model = classifier(text, {**PLAIN_SHAPES, **more})
    plan = network_plan(model, read_signature(model))
    assert (plan.batch is None) == opened
    images = torch.randn((7, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    runner = open_runner(model, Machine(threads=1), batch=2)
    pairs = torch.split(images, 2)
    wanted = [runner.run({"x": pair.numpy()})[0][: len(pair)] for pair in pairs]
    found = GraphNetwork(plan, channels_last=False)(images)
    np.testing.assert_allclose(found.numpy(), np.concatenate(wanted), rtol=1e-4, atol=1e-4)


def test_a_huge_logit_hides_no_company() -> None:
    model = classifier(_MIXED, {**PLAIN_SHAPES})
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "b2")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[0] = -1e6
    bias.CopyFrom(onnx.numpy_helper.from_array(values, "b2"))
    assert network_plan(model, read_signature(model)).batch == 2


def test_a_batch_stays_fixed_where_the_size_is_open() -> None:
    model = classifier(_FIXED.replace("float[2,3,8,8] x", "float[2,3,H,W] x"), {**PLAIN_SHAPES})
    plan = network_plan(model, read_signature(model))
    assert plan.batch == 2
    assert GraphNetwork(plan, channels_last=False)(torch.zeros(3, 3, 8, 8)).shape == (3, 5)


def test_sizes_that_two_nodes_read_are_opened_for_both() -> None:
    text = _RESHAPED.replace("logits = Gemm<", "e = Reshape(d, sizes)\n  logits = Gemm<").replace(
        ">(d, w2", ">(e, w2"
    )
    model = classifier(text, {**PLAIN_SHAPES, "sizes": [2, 96]})
    plan = network_plan(model, read_signature(model))
    assert plan.batch is None
    assert GraphNetwork(plan, channels_last=False)(torch.zeros(5, 3, 8, 8)).shape == (5, 5)


_POINTWISE = [
    "Abs", "Clip", "Dropout", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Max", "Mean", "Min", "Mish", "Neg", "Reciprocal", "Relu",
    "Selu", "Sigmoid", "Softplus", "Sqrt", "Sum", "Swish", "Tanh",
]  # fmt: skip
_OF_ALL: dict[str, dict[str, list[int] | int]] = {
    "GlobalAveragePool": {},
    "GlobalMaxPool": {},
    "MaxPool": {"kernel_shape": [4, 4]},
    "AveragePool": {"kernel_shape": [4, 4]},
    "ReduceMax": {"axes": [2, 3]},
    "ReduceMean": {"axes": [2, 3]},
    "Softmax": {"axis": 3},
    "LogSoftmax": {"axis": 3},
}


@pytest.mark.parametrize("operator", [*_POINTWISE, *_OF_ALL])
def test_nan_passes_operators_that_choose_or_bound(operator: str) -> None:
    made = onnx.helper.make_node(operator, ["x"], ["y"])
    made.attribute.extend(
        onnx.helper.make_attribute(name, value) for name, value in _OF_ALL.get(operator, {}).items()
    )
    attributes = {attribute.name: attribute for attribute in made.attribute}
    opset = 24 if operator == "Swish" else 13
    step = build(Node("", "", operator, opset, ("x",), ("y",), attributes))
    for place in range(16):
        x = torch.linspace(-3, 3, 16).reshape(1, 1, 4, 4)
        x.view(-1)[place] = torch.nan
        given = step(x)
        assert isinstance(given, torch.Tensor)
        rows = given.reshape(-1)
        if operator in _POINTWISE:
            assert torch.isnan(rows[place])
        else:
            assert torch.isnan(rows).any()
