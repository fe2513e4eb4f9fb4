"""Scaled torch networks of small real graphs, against onnxruntime."""

import numpy as np
import onnx
import pytest
import torch
from support.graphs import (
    ALL,
    CROSSED,
    CROSSED_SHAPES,
    DEPTHWISE,
    DEPTHWISE_SHAPES,
    classifier,
    images,
    shapes_of,
)

from hardener.model.channel_masks import mask_feeds, maskable_model
from hardener.model.channel_scaling import ScaledNetwork, scaled_network
from hardener.model.convolutions import Convolution, find_convolutions
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature

GRAPHS = {
    **{name: (text, shapes) for name, (text, shapes, _) in ALL.items() if name != "squeeze"},
    "depthwise": (DEPTHWISE, DEPTHWISE_SHAPES),
    "crossed": (CROSSED, CROSSED_SHAPES),
}


def _scaled(model: onnx.ModelProto) -> tuple[tuple[Convolution, ...], ScaledNetwork]:
    signature = read_signature(model)
    convolutions = find_convolutions(model, signature, shapes_of(model)).usable
    return convolutions, scaled_network(model, signature, convolutions, torch.device("cpu"))


@pytest.mark.parametrize("name", GRAPHS)
def test_ones_change_nothing_and_zeros_prune(name: str) -> None:
    model = classifier(*GRAPHS[name])
    convolutions, scaled = _scaled(model)
    (expected,) = open_runner(model, Machine()).run({"x": images()})
    with torch.no_grad():
        found = scaled.network(torch.from_numpy(images()))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        kept = [np.arange(one.layer.channels) % 3 > 0 for one in convolutions]
        for scale, own in zip(scaled.scales, kept, strict=True):
            scale.copy_(torch.from_numpy(own).reshape(scale.shape))
        found = scaled.network(torch.from_numpy(images()))
    runner = open_runner(maskable_model(model, convolutions, "logits"), Machine())
    (pruned,) = runner.run({"x": images(), **mask_feeds(convolutions, kept)})
    np.testing.assert_allclose(found, pruned, rtol=1e-4, atol=1e-4)
    assert np.abs(pruned - expected).max() > 1e-3


def test_the_offset_taken_off_leaves_what_the_weights_make() -> None:
    """What ANP stands on: x - o has no bias, whichever normalisation comes behind."""
    _, scaled = _scaled(classifier(CROSSED, CROSSED_SHAPES))
    with torch.no_grad():
        for shift, offset in zip(scaled.shifts, scaled.offsets, strict=True):
            shift.copy_(-offset)
        logits = scaled.network(torch.zeros(1, 3, 8, 8))
    model = classifier(CROSSED, CROSSED_SHAPES)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    np.testing.assert_allclose(logits[0], weights["b4"], atol=1e-5)


def test_nothing_but_scales_and_shifts_has_a_gradient() -> None:
    _, scaled = _scaled(classifier(DEPTHWISE, DEPTHWISE_SHAPES))
    own = {id(parameter) for parameter in (*scaled.scales, *scaled.shifts)}
    assert {id(parameter) for parameter in scaled.network.parameters()} == own
    scaled.network(torch.from_numpy(images())).square().sum().backward()
    assert all(parameter.grad is not None for parameter in scaled.network.parameters())
