"""A mask behind the poolings against the mask on the feature layer."""

import numpy as np
import pytest
from support.graphs import ALL, classifier, images

from hardener.arrays import FloatArray
from hardener.model.pooling import behind_pooling
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.model.topology import FeatureLayer
from hardener.model.trial_heads import KEEP_INPUT, maskable_head, trunk_model

REDUCED = "g = ReduceMean<axes=[2,3], keepdims=0>(feature)"
KEPT = "q = ReduceMean<axes=[-1,-2]>(feature)\n  g = Flatten(q)"
POOLED_FROM = {
    "plain": "p",
    "batch norm": "g",
    "gated": "g",
    "shared weights": "p",
    "residual": "feature",
    "residual kept": "q",
    "squeeze": "feature",
}


@pytest.mark.parametrize("name", list(POOLED_FROM))
def test_a_mask_behind_the_poolings_gives_the_same_logits_bit_for_bit(name: str) -> None:
    text, shapes, channels = ALL[name.removesuffix(" kept")]
    if name.endswith(" kept"):
        text = text.replace(REDUCED, KEPT)
    model = classifier(text, shapes)
    signature = read_signature(model)
    layer = FeatureLayer("feature", channels)
    cut = behind_pooling(model, layer)
    assert cut == FeatureLayer(POOLED_FROM[name], channels)
    keep = np.ones(channels, np.float32)
    keep[1::2] = 0
    logits: list[FloatArray] = []
    for where in (layer, cut):
        (maps,) = open_runner(trunk_model(model, where, signature), Machine()).run({"x": images()})
        head = open_runner(maskable_head(model, where, signature), Machine())
        logits += head.run({where.name: maps, KEEP_INPUT: keep})
    np.testing.assert_array_equal(logits[0], logits[1])


def test_a_layer_that_others_read_too_is_left_where_it_is() -> None:
    text, shapes, channels = ALL["plain"]
    text = text.replace(
        "p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)",
        "m = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)\n"
        "  a = AveragePool<kernel_shape=[2,2], strides=[2,2]>(feature)\n  p = Add(m, a)",
    )
    layer = FeatureLayer("feature", channels)
    assert behind_pooling(classifier(text, shapes), layer) == layer


def test_pooling_over_channels_is_not_passed() -> None:
    text, shapes, channels = ALL["plain"]
    text = text.replace(
        "p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)",
        "r = ReduceMean<axes=[1]>(feature)\n  p = Expand(r, wide)",
    )
    shapes = {**shapes, "wide": [1, 6, 8, 8], "w2": (5, 384)}
    layer = FeatureLayer("feature", channels)
    assert behind_pooling(classifier(text, shapes), layer) == layer
