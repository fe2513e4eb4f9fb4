from pathlib import Path

import numpy as np
import onnx
import pytest
from support.graphs import (
    BATCH_NORM,
    BATCH_NORM_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    RESIDUAL,
    RESIDUAL_SHAPES,
    SQUEEZE,
    SQUEEZE_SHAPES,
    classifier,
    saved,
    shapes_of,
)

from hardener.data.images import ImageSource
from hardener.model.chosen_outputs import with_outputs
from hardener.model.classifier import Classifier, open_classifier
from hardener.model.convolutions import find_convolutions
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.pruning.fine_pruning import activation_behind, inactivity

USED = np.arange(0, 40, 2)


def _opened(model: onnx.ModelProto, folder: Path) -> tuple[Classifier, ImageSource]:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(folder / "d.npz", images=pixels, labels=np.zeros(40, np.int64))
    opened = open_classifier(saved(model, folder / "m.onnx"))
    return opened, opened.open_data(folder / "d.npz")


def test_a_dead_channel_goes_first_and_the_others_by_their_mean_activation(tmp_path: Path) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == "b1")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[4] = -100
    bias.CopyFrom(onnx.numpy_helper.from_array(values, "b1"))
    opened, source = _opened(model, tmp_path)
    found = find_convolutions(opened.proto, opened.signature, opened.model.shapes)
    scores = inactivity(opened, found.usable[-1], source, USED, Machine())
    assert scores.argmax() == 4
    assert scores[4] == 0
    (batch,) = opened.batches(source, USED)
    (maps,) = open_runner(with_outputs(opened.proto, "feature"), Machine()).run(
        opened.feeds(batch.images)
    )
    np.testing.assert_allclose(scores, -maps.mean(axis=(0, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize(
    ("text", "shapes", "convolution", "activation"),
    [
        (PLAIN, PLAIN_SHAPES, "c", "feature"),
        (BATCH_NORM, BATCH_NORM_SHAPES, "n", "feature"),
        (RESIDUAL, RESIDUAL_SHAPES, "a", "r"),
        (RESIDUAL, RESIDUAL_SHAPES, "c", "c"),
        (SQUEEZE, SQUEEZE_SHAPES, "a", "a"),
        (PLAIN.replace("Relu", "Sigmoid"), PLAIN_SHAPES, "c", "c"),
    ],
)
def test_activity_is_measured_behind_the_activation_function(
    text: str, shapes: dict[str, object], convolution: str, activation: str
) -> None:
    model = classifier(text, shapes)
    found = find_convolutions(model, read_signature(model), shapes_of(model))
    assert activation_behind(model, found.named(convolution).layer).name == activation
