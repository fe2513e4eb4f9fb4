from pathlib import Path

import numpy as np
import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved

from hardener.errors import ModelError
from hardener.files import sha256_of
from hardener.model.classifier import open_classifier
from hardener.model.files import load_model
from hardener.model.saving import save_model, with_metadata


def _external(path: Path, location: str) -> Path:
    """A model whose first weight lies in another file."""
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    tensor = model.graph.initializer[0]
    (path.parent / "weights.bin").write_bytes(tensor.raw_data)
    onnx.external_data_helper.set_external_data(tensor, location)
    tensor.ClearField("raw_data")
    path.write_bytes(model.SerializeToString())
    return path


def test_external_data_in_the_models_folder_is_read_and_digested(tmp_path: Path) -> None:
    path = _external(tmp_path / "m.onnx", "weights.bin")
    loaded = load_model(path)
    plain = classifier(PLAIN, dict(PLAIN_SHAPES)).graph.initializer[0]
    np.testing.assert_array_equal(
        onnx.numpy_helper.to_array(loaded.proto.graph.initializer[0]),
        onnx.numpy_helper.to_array(plain),
    )
    content = bytearray((tmp_path / "weights.bin").read_bytes())
    content[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(content)
    assert load_model(path).sha256 != loaded.sha256


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "missing.bin", "link.bin"])
def test_external_data_elsewhere_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(648))
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    path = _external(folder / "m.onnx", location)
    with pytest.raises(ModelError, match="external data beside the model"):
        load_model(path)


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a model", bytes(1000)])
def test_what_is_no_onnx_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelError, match="is no ONNX model"):
        load_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("name", [b"feature", b"w1", b"logits", b"classifier", b"kernel_shape"])
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, name: bytes) -> None:
    content = classifier(PLAIN, dict(PLAIN_SHAPES)).SerializeToString()
    assert name in content
    (tmp_path / "m.onnx").write_bytes(content.replace(name, b"\x80" * len(name)))
    with pytest.raises(ModelError, match="is no ONNX model"):
        load_model(tmp_path / "m.onnx")


def test_a_graph_that_uses_what_nobody_computes_is_refused(tmp_path: Path) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.graph.node[1].input[0] = "nothing"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="fails the ONNX checker"):
        load_model(tmp_path / "m.onnx")


def test_metadata_is_added_to_a_copy_and_saved(tmp_path: Path) -> None:
    model = with_metadata(classifier(PLAIN, dict(PLAIN_SHAPES)), {"a": "1", "b": "2"})
    changed = with_metadata(model, {"b": "3"})
    digest = save_model(changed, tmp_path / "m.onnx")
    loaded = load_model(tmp_path / "m.onnx")
    assert loaded.metadata == {"a": "1", "b": "3"}
    assert loaded.sha256 == digest == sha256_of(tmp_path / "m.onnx")
    assert {item.key: item.value for item in model.metadata_props} == {"a": "1", "b": "2"}


def test_a_broken_model_is_not_saved(tmp_path: Path) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.graph.node[1].input[0] = "nothing"
    with pytest.raises(ModelError, match="fails the ONNX checker"):
        save_model(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hardener.preprocessing", "{"),
        ("hardener.preprocessing", '{"mean": "x", "std": 1}'),
        ("hardener.class_names", "[1]"),
        ("hardener.class_names", '["a", "b", "a"]'),
        ("hardener.class_names", "{"),
        ("hardener.class_names", '["\\ud800"]'),
        ("hardener.preprocessing", '{"mean": NaN}'),
        ("hardener.preprocessing", "[" * 100_000),
    ],
)
def test_metadata_that_makes_no_sense_is_named(tmp_path: Path, key: str, value: str) -> None:
    model = with_metadata(classifier(PLAIN, dict(PLAIN_SHAPES)), {key: value})
    save_model(model, tmp_path / "m.onnx")
    loaded = load_model(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=key):
        assert loaded.class_names or loaded.preprocessing_fields


def test_a_fixed_batch_gives_the_size_of_the_batches(tmp_path: Path) -> None:
    text = PLAIN.replace("float[N,", "float[3,")
    path = saved(classifier(text, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    opened = open_classifier(path)
    assert opened.batch_size == 3
    assert opened.model.shapes["feature"] == (3, 6, 8, 8)


def test_large_images_come_in_smaller_batches(tmp_path: Path) -> None:
    path = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    small = open_classifier(path)
    assert small.batch_size == 256
    assert small.preprocessing.mean == (0.5, 0.5, 0.5)
