import ml_dtypes
import numpy as np
import onnx
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, images

from hardener.model.bfloat16 import in_float32
from hardener.model.runtime import Machine, open_runner


def _narrowed(model: onnx.ModelProto) -> onnx.ModelProto:
    narrow = onnx.ModelProto()
    narrow.CopyFrom(model)
    for tensor in narrow.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    for value in (*narrow.graph.input, *narrow.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    onnx.checker.check_model(narrow, full_check=True)
    return narrow


def test_a_bfloat16_model_runs_in_float32_with_its_own_weights() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES), opset=22)
    narrow = _narrowed(model)
    (found,) = open_runner(narrow, Machine()).run({"x": images()})
    (expected,) = open_runner(model, Machine()).run({"x": images()})
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=0.3)
    assert np.abs(found - expected).max() > 0, "rounded weights give other logits"
    assert narrow.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16


def test_a_model_without_bfloat16_is_left_as_it_is() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    assert in_float32(model) is model
