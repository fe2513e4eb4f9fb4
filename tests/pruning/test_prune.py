from pathlib import Path

import numpy as np
import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved

from hardener.errors import UsageError
from hardener.model.classifier import Classifier, open_classifier
from hardener.model.external_data import with_external_data
from hardener.model.files import load_model
from hardener.model.topology import FeatureLayer
from hardener.pruning.named import prune_channels
from hardener.pruning.options import pruning_options
from hardener.pruning.sweep import feature_bytes
from hardener.scanning.activations import ChannelNorms
from hardener.writing import write_hardened

LAYER = FeatureLayer("feature", 6)
IDENTITY = {"mean": (0.0,), "std": (1.0,)}


def _opened(text: str, path: Path) -> Classifier:
    return open_classifier(saved(classifier(text, dict(PLAIN_SHAPES)), path), [IDENTITY])


def test_a_fixed_batch_takes_no_more_memory_an_image(tmp_path: Path) -> None:
    free = _opened(PLAIN, tmp_path / "free.onnx")
    fixed = _opened(PLAIN.replace("float[N,", "float[3,"), tmp_path / "fixed.onnx")
    assert feature_bytes(free, LAYER, LAYER) == feature_bytes(fixed, LAYER, LAYER) == 4 * 6 * 8 * 8


def test_a_threshold_that_leaves_no_channel_is_refused() -> None:
    values = np.array([[1.0, 2.0, 3.0]], np.float32)
    norms = {name: ChannelNorms.of(values, values, values) for name in ("clean", "clean+syn 1")}
    with pytest.raises(UsageError, match="prunes every channel"):
        pruning_options("linf", norms, threshold=0.5)
    assert pruning_options("linf", norms, threshold=1.0)[1].channels == (1, 2)


def test_the_weights_of_the_pruned_models_own_input_stay(tmp_path: Path) -> None:
    """A model that lies in a file named like an earlier result's external data."""
    bare, name, data = with_external_data(classifier(PLAIN, dict(PLAIN_SHAPES)), "hardened")
    onnx.save(bare, tmp_path / "step1.onnx")
    (tmp_path / name).write_bytes(data)
    prune_channels(tmp_path / "step1.onnx", [1], tmp_path / "hardened.onnx")
    assert load_model(tmp_path / "step1.onnx").external == (tmp_path / name,)
    prune_channels(tmp_path / "step1.onnx", [2], tmp_path / "hardened.onnx")
    assert (tmp_path / name).exists()


def test_the_weights_of_the_model_that_is_replaced_go(tmp_path: Path) -> None:
    bare, name, data = with_external_data(classifier(PLAIN, dict(PLAIN_SHAPES)), "hardened")
    onnx.save(bare, tmp_path / "hardened.onnx")
    (tmp_path / name).write_bytes(data)
    (tmp_path / "hardened.0123456789abcdef.data").write_bytes(b"somebody else's")
    small = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "small.onnx")
    result = prune_channels(small, [1], tmp_path / "other.onnx", dry_run=True)
    write_hardened(onnx.load(small), result, tmp_path / "hardened.onnx")
    assert not (tmp_path / name).exists()
    assert (tmp_path / "hardened.0123456789abcdef.data").exists()
