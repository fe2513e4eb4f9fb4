import numpy as np
import onnx
import pytest
import torch
from support.graphs import (
    CROSSED,
    CROSSED_SHAPES,
    DEPTHWISE,
    DEPTHWISE_SHAPES,
    classifier,
    shapes_of,
)

from hardener.model.convolutions import find_convolutions
from hardener.model.signature import read_signature
from hardener.pruning.channel_lipschitzness import lipschitzness


@pytest.mark.parametrize(
    ("text", "shapes", "layer", "norm"),
    [
        (CROSSED, CROSSED_SHAPES, "na", ("w1", "scale_a")),
        (DEPTHWISE, DEPTHWISE_SHAPES, "n", ("w2", "scale")),
        (DEPTHWISE, DEPTHWISE_SHAPES, "feature", ("w3", None)),
    ],
)
def test_the_score_is_that_of_an_independent_decomposition(
    text: str, shapes: dict[str, object], layer: str, norm: tuple[str, str | None]
) -> None:
    model = classifier(text, shapes)
    found = find_convolutions(model, read_signature(model), shapes_of(model))
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    filters, scale = weights[norm[0]], weights.get(norm[1] or "")
    bounds = []
    for channel, matrix in enumerate(filters):
        largest = torch.linalg.svdvals(torch.from_numpy(matrix.copy()).flatten(1))[0].item()
        if scale is not None:
            largest *= abs(scale[channel]) / np.sqrt(weights["variance"][channel] + 1e-5)
        bounds.append(largest)
    expected = (np.array(bounds) - np.mean(bounds)) / np.std(bounds)
    np.testing.assert_allclose(lipschitzness(found.named(layer)), expected, rtol=1e-3, atol=1e-4)


def test_channels_that_do_not_differ_are_not_divided_by_nothing() -> None:
    model = classifier(DEPTHWISE, DEPTHWISE_SHAPES)
    for tensor in model.graph.initializer:
        if tensor.name == "w3":
            alike = np.full((8, 6, 1, 1), 0.1, np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(alike, "w3"))
    found = find_convolutions(model, read_signature(model), shapes_of(model))
    assert lipschitzness(found.named("feature")).tolist() == [0] * 8
