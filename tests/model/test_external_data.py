"""Models whose weights do not fit one message, with the limit set low."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from support.graphs import PLAIN, Shapes, classifier, images

from hardener.model.external_data import with_external_data
from hardener.model.files import load_model
from hardener.model.observing import observed_shapes
from hardener.model.runtime import Machine, open_runner
from hardener.model.saving import model_content
from hardener.model.sessions import open_session
from hardener.model.weightless import weightless

WIDE = PLAIN.replace("logits = Gemm<transB=1>(d, w2, b2)",
                     "h = Gemm<transB=1>(d, w3, b3)\n  r = Relu(h)\n"
                     "  logits = Gemm<transB=1>(r, w2, b2)")  # fmt: skip
WIDE_SHAPES: Shapes = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w3": (4096, 96), "b3": (4096,), "w2": (5, 4096), "b2": (5,),
}  # fmt: skip


@pytest.fixture(scope="module")
def wide() -> onnx.ModelProto:
    return classifier(WIDE, dict(WIDE_SHAPES))


def test_a_session_takes_large_weights_beside_the_model(wide: onnx.ModelProto) -> None:
    (expected,) = open_runner(wide, Machine()).run({"x": images()})
    options = ort.SessionOptions()
    session = open_session(wide, options, ["CPUExecutionProvider"], largest_message=1 << 20)
    np.testing.assert_array_equal(session.run(None, {"x": images()})[0], expected)


def test_weights_beside_the_model_last_as_long_as_the_session() -> None:
    shapes = {**WIDE_SHAPES, "w3": (100_000, 96), "b3": (100_000,), "w2": (5, 100_000)}
    large = classifier(WIDE, shapes)
    (expected,) = open_runner(large, Machine()).run({"x": images()})
    session = open_session(large, ort.SessionOptions(), ["CPUExecutionProvider"], b"", 1 << 20)
    for _ in range(8):
        np.full((100_000, 96), 7, np.float32)
    np.testing.assert_allclose(session.run(None, {"x": images()})[0], expected, rtol=1e-4)


def test_a_large_model_is_written_with_external_data_and_read_back(
    wide: onnx.ModelProto, tmp_path: Path
) -> None:
    content, external, digest = model_content(wide, "h", largest_message=1 << 20)
    ((name, data),) = external.items()
    (tmp_path / "h.onnx").write_bytes(content)
    (tmp_path / name).write_bytes(data)
    loaded = load_model(tmp_path / "h.onnx")
    assert loaded.sha256 == digest
    assert [path.name for path in loaded.external] == [name]
    (found,) = open_runner(loaded.proto, Machine()).run({"x": images()})
    np.testing.assert_array_equal(found, open_runner(wide, Machine()).run({"x": images()})[0])
    with_other_weights = classifier(WIDE, dict(WIDE_SHAPES), seed=1)
    assert with_external_data(with_other_weights, "h")[1] != name


def test_a_model_within_the_limit_is_one_file(wide: onnx.ModelProto) -> None:
    content, external, _ = model_content(wide, "h")
    assert external == {}
    assert content == wide.SerializeToString(deterministic=True)


def test_a_skeleton_is_a_valid_model_of_the_same_shapes(wide: onnx.ModelProto) -> None:
    bare = weightless(wide)
    onnx.checker.check_model(bare, full_check=True)
    assert bare.ByteSize() < wide.ByteSize() / 10
    assert [value.name for value in bare.graph.input] == ["x", "w3", "w2"]
    inferred = onnx.shape_inference.infer_shapes(bare)
    shapes = observed_shapes(wide, {"x": images()})
    for value in inferred.graph.value_info:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
        assert tuple(dims) == shapes[value.name][1:]
