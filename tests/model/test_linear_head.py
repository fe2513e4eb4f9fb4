import numpy as np
import onnx
import pytest
from support.graphs import (
    ALL,
    NHWC,
    NHWC_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    SQUEEZE,
    SQUEEZE_SHAPES,
    classifier,
)

from hardener.errors import ModelError
from hardener.model.linear_head import linear_head
from hardener.model.signature import read_signature


def _stored(model: onnx.ModelProto, name: str) -> object:
    (found,) = [tensor for tensor in model.graph.initializer if tensor.name == name]
    return onnx.numpy_helper.to_array(found)


@pytest.mark.parametrize(
    ("name", "weights", "turned"),
    [("plain", "w2", False), ("batch norm", "w2", True), ("residual", "w3", False),
     ("gated", "w2", True)],
)  # fmt: skip
def test_one_row_a_label_however_the_weights_are_stored(
    name: str, weights: str, turned: bool
) -> None:
    text, shapes, _ = ALL[name]
    model = classifier(text, shapes)
    expected = np.asarray(_stored(model, weights))
    rows = linear_head(model, read_signature(model))
    assert np.array_equal(rows, expected.T if turned else expected)


def test_an_added_bias_and_a_softmax_may_follow() -> None:
    text = NHWC.replace("logits = Add(m, b2)", "z = Add(m, b2)\n  logits = Softmax(z)")
    model = classifier(text, NHWC_SHAPES)
    expected = np.asarray(_stored(model, "w2")).T
    assert np.array_equal(linear_head(model, read_signature(model)), expected)


def test_a_factor_of_the_product_counts() -> None:
    model = classifier(PLAIN.replace("transB=1", "transB=1, alpha=2.0"), dict(PLAIN_SHAPES))
    expected = 2 * np.asarray(_stored(model, "w2"))
    assert np.array_equal(linear_head(model, read_signature(model)), expected)


def test_a_head_of_convolutions_is_none() -> None:
    model = classifier(SQUEEZE, dict(SQUEEZE_SHAPES))
    with pytest.raises(ModelError, match="no fully connected layer"):
        linear_head(model, read_signature(model))


def test_a_sum_of_two_heads_is_none() -> None:
    text = PLAIN.replace(
        "logits = Gemm<transB=1>(d, w2, b2)",
        "m = Gemm<transB=1>(d, w2, b2)\n  n = Relu(m)\n  logits = Add(m, n)",
    )
    model = classifier(text, dict(PLAIN_SHAPES))
    with pytest.raises(ModelError, match="sum of several"):
        linear_head(model, read_signature(model))
