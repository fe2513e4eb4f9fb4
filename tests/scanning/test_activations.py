from pathlib import Path

import numpy as np
import pytest
from support.graphs import ALL, classifier, images, saved

from hardener.data.images import open_images
from hardener.data.settings import input_settings
from hardener.data.triggers import Trigger
from hardener.measuring.quality import Probe, measure
from hardener.model.classifier import open_classifier, open_full
from hardener.model.runtime import open_runner
from hardener.model.switching import trunk_model
from hardener.model.topology import FeatureLayer
from hardener.scanning.activations import norms_graph, profile


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


def test_norms_and_counts_come_for_every_probe(tmp_path: Path) -> None:
    text, shapes, channels = ALL["plain"]
    path = saved(classifier(text, shapes), tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (600, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels, labels=rng.integers(0, 5, 600))
    source = open_images(tmp_path / "d.npz")
    opened = open_classifier(path)
    layer = FeatureLayer("feature", channels)
    blank = Trigger(np.ones((1, 8, 8), np.float32), np.zeros((3, 8, 8), np.float32), 0)
    probes = {k: Probe(s, 0) for k, s in input_settings(None, blank).items()}
    seen: list[int] = []
    found = profile(opened, layer, source, probes, provider="cpu", on_batch=seen.append)
    assert seen == [256, 256, 88]
    assert found["clean"].norms.linf.shape == (600, channels)
    assert np.ptp(found["clean"].norms.linf, axis=0).max() > 0.1
    assert np.ptp(found["clean+syn"].norms.linf, axis=0).max() < 1e-6
    runner = open_full(opened.proto, opened.signature, "cpu")
    expected = measure(opened, runner, source, probes)
    assert {name: found[name].counts for name in found} == expected
    assert expected["clean"] != expected["clean+syn"]
