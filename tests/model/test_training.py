"""Weights of an ONNX model changed by torch and written back, the graph as it was."""

import numpy as np
import onnx
import pytest
import torch
from support.graphs import ALL, PLAIN, PLAIN_SHAPES, SHARED, SHARED_SHAPES, classifier, images

from hardener.errors import InconclusiveError, ModelError
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.model.training import trainable, trained_weights, with_weights


def _moved(model: onnx.ModelProto) -> tuple[torch.Tensor, onnx.ModelProto]:
    """Logits of a network whose weights moved by some steps, and the model with those weights."""
    network = trainable(model, read_signature(model))
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01)
    for _ in range(3):
        optimiser.zero_grad()
        network(torch.from_numpy(images())).square().mean().backward()
        optimiser.step()
    with torch.no_grad():
        logits = network(torch.from_numpy(images()))
    return logits, with_weights(model, trained_weights(network))


@pytest.mark.parametrize("name", [name for name in ALL if name != "squeeze"])
def test_the_model_says_what_the_trained_network_says(name: str) -> None:
    text, shapes, _ = ALL[name]
    model = classifier(text, shapes)
    before = model.SerializeToString()
    logits, changed = _moved(model)
    (found,) = open_runner(changed, Machine()).run({"x": images()})
    np.testing.assert_allclose(found, logits.numpy(), rtol=1e-4, atol=1e-4)
    (old,) = open_runner(model, Machine()).run({"x": images()})
    assert np.abs(found - old).max() > 1e-3
    assert model.SerializeToString() == before
    assert list(changed.graph.node) == list(model.graph.node)


def test_what_normalises_keeps_its_statistics() -> None:
    text, shapes, _ = ALL["batch norm"]
    network = trainable(classifier(text, shapes), read_signature(classifier(text, shapes)))
    assert set(network.trained) == {"w1", "scale", "shift", "w2", "b2"}


def test_a_weight_that_is_shared_stays_shared() -> None:
    logits, changed = _moved(classifier(SHARED, dict(SHARED_SHAPES)))
    (found,) = open_runner(changed, Machine()).run({"x": images()})
    np.testing.assert_allclose(found, logits.numpy(), rtol=1e-4, atol=1e-4)


def test_a_weight_that_something_else_reads_too_is_not_trained() -> None:
    text = PLAIN.replace(
        "logits = Gemm<transB=1>(d, w2, b2)",
        """
  s = Tanh(b2)
  g = Gemm<transB=1>(d, w2, b2)
  logits = Add(g, s)""",
    )
    model = classifier(text, dict(PLAIN_SHAPES))
    assert "b2" not in trainable(model, read_signature(model)).trained


def test_16_bit_weights_stay_16_bit() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    halves = onnx.ModelProto()
    halves.CopyFrom(model)
    for tensor in halves.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    changed = with_weights(halves, {"b2": np.full(5, 0.1, np.float32)})
    (b2,) = (t for t in changed.graph.initializer if t.name == "b2")
    assert b2.data_type == onnx.TensorProto.FLOAT16
    np.testing.assert_allclose(onnx.numpy_helper.to_array(b2), np.full(5, 0.1), rtol=1e-3)
    with pytest.raises(InconclusiveError, match="no number"):
        with_weights(halves, {"b2": np.full(5, 1e9, np.float32)})


def test_weights_of_another_shape_are_refused() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    with pytest.raises(ModelError, match="no weight 'b2' of shape"):
        with_weights(model, {"b2": np.zeros(4, np.float32)})


def test_biases_alone_are_no_weights_to_repair() -> None:
    """As dynamic quantisation leaves them."""
    text = PLAIN.replace("(x, w1, b1)", "(x, i1, b1)").replace("(d, w2, b2)", "(d, i2, b2)")
    text = text.replace("  c = Conv", "  i1 = Cast<to=1>(w1)\n  i2 = Cast<to=1>(w2)\n  c = Conv")
    model = classifier(text, dict(PLAIN_SHAPES))
    with pytest.raises(ModelError, match="before it is quantised"):
        trainable(model, read_signature(model))


def test_a_model_without_floating_point_weights_is_refused() -> None:
    text = """
classifier (float[N,3,8,8] x) => (float[N,3] logits) {
  g = GlobalAveragePool(x)
  logits = Flatten(g)
}"""
    model = classifier(text, {})
    with pytest.raises(ModelError, match="before it is quantised"):
        trainable(model, read_signature(model))
