"""Convolutions found in small real graphs, each with its own batch normalisation."""

import numpy as np
import onnx
import pytest
from support.graphs import (
    ALL,
    BATCH_NORM,
    BATCH_NORM_SHAPES,
    CROSSED,
    CROSSED_SHAPES,
    DEPTHWISE,
    DEPTHWISE_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    RESIDUAL,
    RESIDUAL_SHAPES,
    classifier,
    images,
    shapes_of,
)

from hardener.arrays import FloatArray
from hardener.errors import ModelError, UsageError
from hardener.model.chosen_outputs import with_outputs
from hardener.model.convolutions import Convolutions, find_convolutions
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature


def _found(model: onnx.ModelProto) -> Convolutions:
    return find_convolutions(model, read_signature(model), shapes_of(model))


def _names(model: onnx.ModelProto) -> list[str]:
    return [convolution.layer.name for convolution in _found(model).usable]


def _weights(model: onnx.ModelProto) -> dict[str, FloatArray]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


def test_each_convolution_has_the_normalisation_that_its_edges_lead_to() -> None:
    """The normalisations stand in the other order than the convolutions."""
    model = classifier(CROSSED, CROSSED_SHAPES)
    by_name = {one.layer.name: one for one in _found(model).usable}
    assert set(by_name) == {"na", "nb"}
    weights = _weights(model)
    for name, filters, bias, epsilon in (("a", "w1", 0, 1e-5), ("b", "w2", weights["b2"], 0.5)):
        factor = weights[f"scale_{name}"] / np.sqrt(weights["variance"] + epsilon)
        found = by_name[f"n{name}"]
        expected = weights[filters] * factor[:, None, None, None]
        np.testing.assert_allclose(found.filters, expected, rtol=1e-5)
        offset = (bias - weights[f"mean_{name}"]) * factor + weights[f"shift_{name}"]
        np.testing.assert_allclose(found.offset, offset, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "shapes"), [(PLAIN, PLAIN_SHAPES), (BATCH_NORM, BATCH_NORM_SHAPES)]
)
def test_the_offset_is_what_a_channel_holds_where_its_inputs_are_zero(
    text: str, shapes: dict[str, object]
) -> None:
    model = classifier(text, shapes)
    (found,) = _found(model).usable
    runner = open_runner(with_outputs(model, found.layer.name), Machine())
    (values,) = runner.run({"x": np.zeros_like(images(1))})
    expected = np.broadcast_to(found.offset[:, None, None], values[0].shape)
    np.testing.assert_allclose(values[0], expected, rtol=1e-4, atol=1e-6)


def test_a_convolution_that_others_read_too_is_not_joined_with_its_normalisation() -> None:
    text = CROSSED.replace("s = Add(na, nb)", "t = Add(na, a)\n  s = Add(t, nb)")
    assert _names(classifier(text, CROSSED_SHAPES)) == ["a", "nb"]


def test_the_deepest_convolution_comes_last() -> None:
    text = RESIDUAL.replace("s = Add(c, r)", "e = Conv<kernel_shape=[1,1]>(x, w4)\n  s = Sum(c, e)")
    model = classifier(text, {**RESIDUAL_SHAPES, "w4": (6, 3, 1, 1)})
    assert [node.output[0] for node in model.graph.node if node.op_type == "Conv"] == [
        *("a", "c", "e"),
    ]
    assert _names(model)[-1] == "c"


def test_depthwise_convolutions_and_shared_weights_are_no_obstacle() -> None:
    found = _found(classifier(DEPTHWISE, DEPTHWISE_SHAPES))
    assert [one.layer.name for one in found.usable] == ["a", "n", "feature"]
    assert found.usable[1].filters.shape == (6, 1, 3, 3)
    text, shapes, _ = ALL["shared weights"]
    assert _names(classifier(text, shapes)) == ["a", "q", "z", "y"]


def test_a_convolution_is_named_by_node_output_or_channels() -> None:
    found = _found(classifier(CROSSED, CROSSED_SHAPES))
    assert found.named("a") is found.named("na")
    with pytest.raises(UsageError, match=r"no convolution 'feature'.*one of na, nb"):
        found.named("feature")


def test_what_cannot_be_zeroed_is_left_out_and_told() -> None:
    text = CROSSED.replace("logits) {", "logits, float[N,6,8,8] na) {")
    found = _found(classifier(text, CROSSED_SHAPES))
    assert [one.layer.name for one in found.usable] == ["nb"]
    assert found.notes == ("node 'a' (Conv) is left out: 'na' is an output of the model",)


def test_a_normalisation_that_divides_by_zero_is_left_out() -> None:
    text = CROSSED.replace("epsilon=0.5", "epsilon=0.0")
    model = classifier(text, CROSSED_SHAPES)
    for tensor in model.graph.initializer:
        if tensor.name == "variance":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.zeros(6, np.float32), "variance"))
    found = _found(model)
    assert [one.layer.name for one in found.usable] == ["na"]
    assert "divides by zero" in found.notes[0]


def test_a_model_without_a_convolution_to_prune_is_refused_in_one_line() -> None:
    text = PLAIN.replace("c = Conv", "w1 = Mul(stored, factor)\n  c = Conv")
    shapes = {name: shape for name, shape in PLAIN_SHAPES.items() if name != "w1"}
    model = classifier(text, {**shapes, "stored": (6, 3, 3, 3), "factor": 2.0})
    with pytest.raises(ModelError, match=r"no convolution whose.*computes its weights") as error:
        _found(model)
    assert "\n" not in str(error.value)
