from pathlib import Path

import numpy as np
import pytest
from support.graphs import ALL, classifier, images, saved

from hardener.data.images import open_images
from hardener.data.settings import input_settings
from hardener.data.triggers import Trigger
from hardener.model.classifier import open_classifier
from hardener.model.runtime import open_runner
from hardener.model.switching import trunk_model
from hardener.model.topology import FeatureLayer
from hardener.scanning.activations import channel_norms, norms_graph


@pytest.mark.parametrize("opset", [12, 17, 18, 21])
def test_norms_equal_numpys_on_the_feature_map(opset: int) -> None:
    text, shapes, channels = ALL["plain"]
    # SiLU's negative values tell an absolute peak from a plain one.
    text = text.replace("feature = Relu(c)", "s = Sigmoid(c)\n  feature = Mul(c, s)")
    model = classifier(text, shapes, opset=opset)
    layer = FeatureLayer("feature", channels)
    x = images()
    (feature,) = open_runner(trunk_model(model, layer), "cpu").run({"x": x})
    l1, l2, linf = open_runner(norms_graph(model, layer), "cpu").run({"x": x})
    assert feature.min() < 0
    np.testing.assert_allclose(l1, np.abs(feature).sum((2, 3)), rtol=1e-5)
    np.testing.assert_allclose(l2, np.sqrt((feature**2).sum((2, 3))), rtol=1e-5)
    np.testing.assert_allclose(linf, np.abs(feature).max((2, 3)), rtol=1e-6)


def test_norms_come_row_by_row_for_every_setting(tmp_path: Path) -> None:
    text, shapes, channels = ALL["plain"]
    path = saved(classifier(text, shapes), tmp_path / "m.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels, labels=np.zeros(600, int))
    source = open_images(tmp_path / "d.npz")
    opened = open_classifier(path)
    layer = FeatureLayer("feature", channels)
    blank = Trigger(np.ones((1, 8, 8), np.float32), np.zeros((3, 8, 8), np.float32), 0)
    seen: list[int] = []
    norms = channel_norms(
        opened,
        open_runner(norms_graph(opened.proto, layer), "cpu"),
        source,
        input_settings(None, blank),
        indices=np.arange(0, 600, 2),
        on_batch=seen.append,
    )
    assert seen == [256, 44]
    assert norms["clean"].linf.shape == (300, channels)
    assert np.ptp(norms["clean"].linf, axis=0).max() > 0.1
    assert np.ptp(norms["clean+syn"].linf, axis=0).max() < 1e-6
