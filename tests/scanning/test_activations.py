from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper, parser
from support.graphs import ALL, HEADER, classifier, images, saved

from hardener.data.images import open_images
from hardener.data.settings import input_settings
from hardener.measuring.quality import Probe, measure
from hardener.model.classifier import open_classifier, open_full
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.model.topology import FeatureLayer
from hardener.model.trial_heads import trunk_model
from hardener.scanning.activations import ChannelNorms, joined, norms_graph, profile
from hardener.triggers.patch import Trigger

# Its deepest valleys lie below its peaks, which tells an absolute peak from a plain one.
LEAKY = "feature = LeakyRelu<alpha=0.9>(c)"
POSITIVE = "feature = Relu(c)"


@pytest.mark.parametrize("activation", [LEAKY, POSITIVE])
@pytest.mark.parametrize("opset", [12, 17, 18, 21])
def test_norms_equal_numpys_on_the_feature_map(opset: int, activation: str) -> None:
    text, shapes, channels = ALL["plain"]
    text = text.replace(POSITIVE, activation)
    model = classifier(text, shapes, opset=opset)
    layer = FeatureLayer("feature", channels)
    x = images()
    (feature,) = open_runner(trunk_model(model, layer, read_signature(model)), Machine()).run(
        {"x": x}
    )
    l1, l2, linf = open_runner(norms_graph(model, layer), Machine()).run({"x": x})
    assert (feature.min() < 0) == (activation != POSITIVE)
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
    found = profile(opened, layer, source, probes, machine=Machine(), on_batch=seen.append)
    assert seen == [256, 256, 88]
    pixels_in = np.moveaxis(pixels, -1, 1).astype(np.float32) / np.float32(255)
    inputs = {"clean": pixels_in, "clean+syn": np.zeros_like(pixels_in)}
    trunk = open_runner(trunk_model(opened.proto, layer, opened.signature), Machine())
    for name, values in inputs.items():
        (maps,) = trunk.run({"x": opened.preprocessing.apply(values)})
        maps = np.abs(maps.astype(np.float64))
        expected_norms = {
            "l1": maps.sum((2, 3)),
            "l2": np.sqrt((maps**2).sum((2, 3))),
            "linf": maps.max((2, 3)),
        }
        for norm, rows in expected_norms.items():
            over = getattr(found[name].norms, norm)
            np.testing.assert_allclose(over.max, rows.max(axis=0), rtol=1e-5)
            np.testing.assert_allclose(over.mean, rows.mean(axis=0), rtol=1e-5)
            assert over.count == 600
    runner = open_full(opened.proto, opened.signature, Machine())
    expected = measure(opened, runner, source, probes)
    assert {name: found[name].counts for name in found} == expected
    assert expected["clean"] != expected["clean+syn"]


def test_norms_of_parts_add_up_to_norms_of_the_whole() -> None:
    rows = np.random.default_rng(0).gamma(2, 3, (3, 1000, 7)).astype(np.float32)
    whole = ChannelNorms.of(*rows)
    parts = joined(ChannelNorms.of(*rows[:, start : start + 300]) for start in range(0, 1000, 300))
    for name in ("l1", "l2", "linf"):
        one, many = getattr(whole, name), getattr(parts, name)
        np.testing.assert_array_equal(many.max, one.max)
        np.testing.assert_allclose(many.mean, one.mean, rtol=1e-12)
        assert many.count == one.count == 1000


def test_half_precision_features_are_summed_in_single_precision() -> None:
    text = """
classifier (float16[N,3,8,8] x) => (float16[N,5] logits) {
  feature = Conv<kernel_shape=[1,1]>(x, w1)
  g = GlobalAveragePool(feature)
  d = Flatten(g)
  logits = MatMul(d, w2)
}"""
    model = parser.parse_model(HEADER.format(opset=17) + text)
    for name, values in (("w1", np.full((6, 3, 1, 1), 1000)), ("w2", np.full((6, 5), 1e-3))):
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), name))
    x = np.ones((2, 3, 8, 8), np.float16)
    l1, l2, linf = open_runner(norms_graph(model, FeatureLayer("feature", 6)), Machine()).run(
        {"x": x}
    )
    assert l1.dtype == l2.dtype == linf.dtype == np.float32
    # 64 values of 3000: their sum is beyond half precision's 65504.
    np.testing.assert_allclose([l1[0, 0], l2[0, 0], linf[0, 0]], [192000, 24000, 3000], rtol=1e-3)
