"""Grad-CAM against its formula by hand, in every form that a feature layer takes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from support.graphs import (
    ALL,
    NHWC,
    NHWC_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    TRANSFORMER,
    TRANSFORMER_SHAPES,
    classifier,
    saved,
)
from torch.nn import functional

from hardener.arrays import FloatArray
from hardener.errors import ModelError
from hardener.model.classifier import Classifier, open_classifier
from hardener.model.grad_cam import GradCam
from hardener.model.topology import FeatureLayer, find_feature_layer

FORMS = {name: (text, shapes) for name, (text, shapes, _) in ALL.items()} | {
    "tokens": (TRANSFORMER, TRANSFORMER_SHAPES),
    "channels last": (NHWC, NHWC_SHAPES),
}


def _opened(name: str, folder: Path) -> tuple[Classifier, FeatureLayer]:
    text, shapes = FORMS[name]
    opened = open_classifier(saved(classifier(text, shapes), folder / "m.onnx"))
    layer = find_feature_layer(opened.proto, opened.signature, opened.model.shapes)
    return opened, layer


def _pictures(count: int) -> FloatArray:
    return np.random.default_rng(3).uniform(size=(count, 3, 8, 8)).astype(np.float32)


def test_a_heat_map_is_the_positive_sum_of_channels_weighted_by_their_mean_gradients(
    tmp_path: Path,
) -> None:
    proto = classifier(PLAIN, dict(PLAIN_SHAPES))
    opened = open_classifier(saved(proto, tmp_path / "m.onnx"))
    weights = {
        t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in proto.graph.initializer
    }
    x = torch.from_numpy(opened.preprocessing.apply(_pictures(3)))
    maps = functional.conv2d(x, weights["w1"], weights["b1"], padding=1).relu()
    maps.requires_grad_()
    pooled = functional.max_pool2d(maps, 2).flatten(1)
    logits = pooled @ weights["w2"].T + weights["b2"]
    asked = np.array([4, 0, 2])
    (gradient,) = torch.autograd.grad(logits[range(3), asked].sum(), maps)
    expected = (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()
    found = GradCam(opened, FeatureLayer("feature", 6), _pictures(3)).heat_maps(_pictures(3), asked)
    assert expected.max() > 0
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_feature_layer_has_a_heat_map_of_the_images_size(
    name: str, tmp_path: Path
) -> None:
    opened, layer = _opened(name, tmp_path)
    camera = GradCam(opened, layer, _pictures(2))
    labels = np.arange(5)
    found = np.stack([camera.heat_maps(_pictures(2), np.full(2, label)) for label in labels])
    assert found.shape == (5, 2, 8, 8)
    assert found.min() >= 0
    assert found.max() > 0
    assert not np.allclose(found[0], found[1])


def test_many_images_and_few_give_the_same_maps(tmp_path: Path) -> None:
    opened, layer = _opened("plain", tmp_path)
    camera = GradCam(opened, layer, _pictures(2))
    labels = np.arange(40) % 5
    together = camera.heat_maps(_pictures(40), labels)
    alone = camera.heat_maps(_pictures(40)[37:38], labels[37:38])
    np.testing.assert_allclose(together[37], alone[0], rtol=1e-5, atol=1e-6)


def test_a_fixed_batch_size_is_no_obstacle(tmp_path: Path) -> None:
    free = classifier(PLAIN, dict(PLAIN_SHAPES))
    fixed = classifier(PLAIN.replace("[N,", "[4,"), dict(PLAIN_SHAPES))
    layer, labels = FeatureLayer("feature", 6), np.array([0, 1, 2, 3, 4, 0])
    maps = [
        GradCam(open_classifier(saved(proto, tmp_path / name)), layer, _pictures(2)).heat_maps(
            _pictures(6), labels
        )
        for name, proto in (("free.onnx", free), ("fixed.onnx", fixed))
    ]
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-5, atol=1e-6)


def test_a_layer_that_no_gradient_leads_to_is_told(tmp_path: Path) -> None:
    steps = "gg = Greater(feature, th)\n  gk = Cast<to=1>(gg)\n  o = MatMul(gk, w2)"
    text = TRANSFORMER.replace("o = MatMul(feature, w2)", steps)
    proto = classifier(text, {**TRANSFORMER_SHAPES, "th": 0.3})
    opened = open_classifier(saved(proto, tmp_path / "m.onnx"))
    layer = FeatureLayer("feature", 12, axis=2, rank=3)
    with pytest.raises(ModelError, match="no gradient leads"):
        GradCam(opened, layer, _pictures(1))


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (FeatureLayer("d", 96, rank=2), "no positions"),
        (FeatureLayer("feature", 6, scale=0.1, zero_point=0), "integers"),
        (FeatureLayer("x", 3), "made by no node"),
    ],
)
def test_what_has_no_heat_map_is_told(layer: FeatureLayer, why: str, tmp_path: Path) -> None:
    opened = open_classifier(saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx"))
    with pytest.raises(ModelError, match=why):
        GradCam(opened, layer, _pictures(1))
