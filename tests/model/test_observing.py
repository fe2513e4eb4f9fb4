import numpy as np
import onnx
import pytest
from support.graphs import ALL, PLAIN, PLAIN_SHAPES, classifier, images

from hardener.errors import ModelError
from hardener.model.observing import observed_shapes

OPTIONAL_OUTPUT = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  kept, mask = Dropout(x)
  parts = SplitToSequence<axis=1, keepdims=1>(kept)
  joined = ConcatFromSequence<axis=1>(parts)
  p, = MaxPool<kernel_shape=[2,2], strides=[2,2]>(joined)
  d = Flatten(p)
  logits = MatMul(d, w)
}"""

BRANCHES = """
classifier (float[N,3,8,8] x, bool first) => (float[N,5] logits) {
  f = If (first) <
    then_branch = yes () => (float[N,48] a) {
      p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)
      a = Flatten(p)
    },
    else_branch = no () => (float[N,48] b) {
      q = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x)
      b = Flatten(q)
    }
  >
  logits = MatMul(f, w)
}"""


def test_every_tensor_of_a_classifier_has_its_shape() -> None:
    shapes = observed_shapes(classifier(PLAIN, dict(PLAIN_SHAPES)), {"x": images(2)})
    assert shapes == {
        "x": (2, 3, 8, 8), "w1": (6, 3, 3, 3), "b1": (6,), "w2": (5, 96), "b2": (5,),
        "c": (2, 6, 8, 8), "feature": (2, 6, 8, 8), "p": (2, 6, 4, 4), "d": (2, 96),
        "logits": (2, 5),
    }  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_the_model_is_not_changed(name: str) -> None:
    text, shapes, channels = ALL[name]
    model = classifier(text, shapes)
    before = model.SerializeToString(deterministic=True)
    assert observed_shapes(model, {"x": images(3)})["feature"] == (3, channels, 8, 8)
    assert model.SerializeToString(deterministic=True) == before


def test_sequences_and_left_out_outputs_are_passed_over() -> None:
    model = classifier(OPTIONAL_OUTPUT, {"w": (48, 5)})
    model.graph.node[0].output[1] = ""
    shapes = observed_shapes(model, {"x": images(2)})
    assert "parts" not in shapes
    assert "" not in shapes
    assert shapes["joined"] == (2, 3, 8, 8)


def test_what_a_branch_computes_is_left_out() -> None:
    model = classifier(BRANCHES, {"w": (48, 5)})
    shapes = observed_shapes(model, {"x": images(2), "first": np.array(True)})
    assert shapes["f"] == (2, 48)
    assert not {"a", "b", "p", "q"} & set(shapes)


@pytest.mark.parametrize("old", ["feature", "w1"])
def test_a_tensor_may_be_called_like_the_shapes(old: str) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    expected = observed_shapes(model, {"x": images(2)})
    for node in model.graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = "shape of 0" if name == old else name
    for tensor in model.graph.initializer:
        tensor.name = "shape of 0" if tensor.name == old else tensor.name
    expected["shape of 0"] = expected.pop(old)
    assert observed_shapes(model, {"x": images(2)}) == expected


def test_a_model_that_cannot_run_is_an_error() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    with pytest.raises(ModelError, match="onnxruntime cannot run the model"):
        observed_shapes(model, {"x": images(2)[:, :2]})
    model.graph.node[1].op_type = "NoSuchOperator"
    with pytest.raises(ModelError, match="onnxruntime cannot run the model"):
        observed_shapes(model, {"x": images(2)})


def test_weights_that_are_inputs_too_keep_their_shape() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.graph.input.append(onnx.helper.make_tensor_value_info("b1", onnx.TensorProto.FLOAT, [6]))
    assert observed_shapes(model, {"x": images(2)})["b1"] == (6,)
