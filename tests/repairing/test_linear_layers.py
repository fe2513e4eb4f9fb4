"""Layers that a closed form can solve: each output is the weighted sum that the layer says."""

import numpy as np
import onnx
import pytest
import torch
from support.graphs import (
    BATCH_NORM,
    BATCH_NORM_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    SHARED,
    SHARED_SHAPES,
    classifier,
    images,
)
from torch import Tensor

from hardener.model.differentiation.network import GraphNetwork
from hardener.model.signature import read_signature
from hardener.model.training import training_plan
from hardener.repairing.linear_layers import LinearLayer, linear_layers, watched

STRIDED = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,2], pads=[1,0,2,1], strides=[2,1], dilations=[1,2], group=3>(x, w1, b1)
  feature = Relu(c)
  g = GlobalAveragePool(feature)
  d = Flatten(g)
  logits = Gemm(d, w2, b2)
}"""
STRIDED_SHAPES = {"w1": (6, 1, 3, 2), "b1": (6,), "w2": (6, 5), "b2": (5,)}

SAME = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,3], auto_pad="SAME_UPPER", strides=[2,2]>(x, w1)
  feature = Relu(c)
  t = Transpose<perm=[0,2,3,1]>(feature)
  m = MatMul(t, w2)
  s = ReduceMean<axes=[1,2], keepdims=0>(m)
  logits = Add(s, b2)
}"""
SAME_SHAPES = {"w1": (6, 3, 3, 3), "w2": (6, 5), "b2": (5,)}

EVERYWHERE = 1000


def _seen(model: onnx.ModelProto) -> list[tuple[LinearLayer, Tensor, Tensor, dict[str, Tensor]]]:
    """Each layer with its input, its output and the constants."""
    signature = read_signature(model)
    plan, names = training_plan(model, signature)
    layers = linear_layers(plan, names)
    shown: dict[str, Tensor] = {}
    network = GraphNetwork(
        watched(plan, layers, lambda layer, x: shown.__setitem__(layer.weight, x)), False
    )
    with torch.no_grad():
        network(torch.from_numpy(images(5)))
        found = []
        for layer in layers:
            step = plan.steps[plan.nodes.index(layer.node)]
            others = [plan.constants[name] for name in layer.node.inputs[1:]]
            output = step(shown[layer.weight], *others)
            assert isinstance(output, Tensor)
            found.append((layer, shown[layer.weight], output, plan.constants))
    return found


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (PLAIN, PLAIN_SHAPES),
        (STRIDED, STRIDED_SHAPES),
        (SAME, SAME_SHAPES),
        (BATCH_NORM, BATCH_NORM_SHAPES),
    ],
    ids=["plain", "strided, dilated, grouped", "same padding and tokens", "no bias"],
)
def test_rows_times_weights_are_the_outputs(text: str, shapes: dict[str, tuple[int, ...]]) -> None:
    found = _seen(classifier(text, shapes))
    assert len(found) == 2
    for layer, x, output, constants in found:
        rows = layer.rows(x, torch.Generator().manual_seed(0), EVERYWHERE)
        matrix = layer.as_matrix(constants[layer.weight])
        sums = rows @ matrix.transpose(1, 2)  # groups, rows, outputs
        if layer.bias is not None:
            sums += constants[layer.bias].reshape(len(matrix), 1, -1)
        by_place = output.flatten(2).permute(0, 2, 1) if layer.node.op == "Conv" else output
        expected = by_place.reshape(len(rows[0]), len(matrix), -1).permute(1, 0, 2)
        # Places come in an order of their own.
        np.testing.assert_allclose(
            np.sort(sums.numpy().ravel()), np.sort(expected.numpy().ravel()), rtol=1e-4, atol=1e-5
        )
        stored = constants[layer.weight]
        assert torch.equal(layer.as_weights(matrix, stored.shape), stored)


def test_the_same_seed_draws_the_same_places_of_clean_and_stamped_images() -> None:
    (layer, x, _, _), *_ = _seen(classifier(PLAIN, PLAIN_SHAPES))
    one, same, other = (layer.rows(x, torch.Generator().manual_seed(seed), 4) for seed in (0, 0, 1))
    assert one.shape == (1, 4 * len(x), 27)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_weights_that_may_not_change_are_left_out() -> None:
    model = classifier(PLAIN, PLAIN_SHAPES)
    plan, names = training_plan(model, read_signature(model))
    assert [layer.weight for layer in linear_layers(plan, names)] == ["w1", "w2"]
    assert [layer.weight for layer in linear_layers(plan, names - {"w1"})] == ["w2"]
    assert [layer.bias for layer in linear_layers(plan, names - {"b1"})] == [None, "b2"]


def test_a_bias_of_one_value_or_of_several_layers_stays_as_it_is() -> None:
    single = classifier(PLAIN, {**PLAIN_SHAPES, "b2": (1,)})
    assert _biases(single) == {"w1": "b1", "w2": None}
    shared = classifier(SHARED, dict(SHARED_SHAPES))
    assert _biases(shared) == {"w1": None, "w3": None, "w2": "b2"}


def test_a_weight_that_is_read_in_different_ways_is_left_out() -> None:
    text = PLAIN.replace(
        "logits = Gemm<transB=1>(d, w2, b2)",
        "l = Gemm(d, w2, b2)\n  m = MatMul(d, w2)\n  logits = Add(l, m)",
    )
    model = classifier(text, {**PLAIN_SHAPES, "w2": (96, 5)})
    assert set(_biases(model)) == {"w1"}


def _biases(model: onnx.ModelProto) -> dict[str, str | None]:
    plan, names = training_plan(model, read_signature(model))
    return {layer.weight: layer.bias for layer in linear_layers(plan, names)}
