"""A product taken channel by channel against the product taken at once."""

import numpy as np
import pytest
from support.graphs import ALL, classifier, images

from hardener.model.pooling import behind_pooling
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.model.summing_head import ADDED_INPUT, SUM_INPUT, summing_head
from hardener.model.topology import FeatureLayer
from hardener.model.trial_heads import KEEP_INPUT, maskable_head, trunk_model

STEPPING = ["plain", "batch norm", "gated", "shared weights", "scaled", "with a layer behind"]


def _graph(name: str) -> tuple[str, dict[str, object], int]:
    text, shapes, channels = ALL.get(name, ALL["plain"])
    if name == "scaled":
        text = text.replace("Gemm<transB=1>", "Gemm<transB=1, alpha=0.5, beta=3.0>")
    if name == "with a layer behind":
        text = text.replace(
            "logits = Gemm<transB=1>(d, w2, b2)",
            "h = Gemm<transB=1>(d, w2, b2)\n  k = Relu(h)\n  logits = MatMul(k, w3)",
        )
        shapes = {**shapes, "w3": (5, 5)}
    return text, dict(shapes), channels


@pytest.mark.parametrize("name", STEPPING)
def test_channels_added_step_by_step_give_the_masked_logits(name: str) -> None:
    text, shapes, channels = _graph(name)
    model = classifier(text, shapes)
    signature = read_signature(model)
    cut = behind_pooling(model, FeatureLayer("feature", channels))
    (maps,) = open_runner(trunk_model(model, cut, signature), Machine()).run({"x": images()})
    masked = open_runner(maskable_head(model, cut, signature), Machine())
    head = summing_head(model, cut, signature)
    assert head is not None
    stepped = open_runner(head.proto, Machine())
    total = np.zeros((len(maps), head.width), np.float32)
    keep = np.zeros(channels, np.float32)
    for added in ([4, 1], [0], [2, 3, 5]):
        keep[added] = 1
        feeds = {cut.name: maps, SUM_INPUT: total, ADDED_INPUT: np.array(added)}
        found, total = stepped.run(feeds)
        (expected,) = masked.run({cut.name: maps, KEEP_INPUT: keep})
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["residual", "squeeze"])
def test_a_head_that_does_not_begin_with_a_product_is_left_alone(name: str) -> None:
    text, shapes, channels = _graph(name)
    model = classifier(text, shapes)
    layer = FeatureLayer("feature", channels)
    assert summing_head(model, layer, read_signature(model)) is None


def test_a_product_over_the_columns_of_a_map_is_left_alone() -> None:
    text = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[1,1]>(x, w1, b1)
  feature = Relu(c)
  m = MatMul(feature, wide)
  logits = ReduceMean<axes=[1,2], keepdims=0>(m)
}"""
    model = classifier(text, {"w1": (4, 3, 1, 1), "b1": (4,), "wide": (8, 5)})
    assert summing_head(model, FeatureLayer("feature", 4), read_signature(model)) is None


def test_a_product_over_pixels_is_left_alone() -> None:
    text, shapes, channels = ALL["plain"]
    text = text.replace("d = Flatten(p)", "s = Reshape(p, three)\n  m = MatMul(s, wide)").replace(
        "logits = Gemm<transB=1>(d, w2, b2)", "logits = ReduceMean<axes=[1], keepdims=0>(m)"
    )
    shapes = {name: shapes[name] for name in ("w1", "b1")}
    model = classifier(text, shapes | {"three": [0, 6, 16], "wide": (16, 5)})
    layer = FeatureLayer("feature", channels)
    signature = read_signature(model)
    assert summing_head(model, behind_pooling(model, layer), signature) is None
