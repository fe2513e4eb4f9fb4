"""Channels of every convolution zeroed in small real graphs, against onnxruntime."""

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
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

from hardener.arrays import BoolArray
from hardener.errors import ModelError
from hardener.model.channel_masks import mask_feeds, maskable_model
from hardener.model.chosen_outputs import with_outputs
from hardener.model.convolution_folding import folded, folding_comparison
from hardener.model.convolutions import Convolution, find_convolutions
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature

GRAPHS: Mapping[str, tuple[str, Mapping[str, object]]] = {
    **{name: (text, shapes) for name, (text, shapes, _) in ALL.items()},
    "depthwise": (DEPTHWISE, DEPTHWISE_SHAPES),
    "crossed": (CROSSED, CROSSED_SHAPES),
}


def _usable(model: onnx.ModelProto) -> tuple[Convolution, ...]:
    return find_convolutions(model, read_signature(model), shapes_of(model)).usable


def _every_third_gone(convolutions: tuple[Convolution, ...]) -> list[BoolArray]:
    return [np.arange(one.layer.channels) % 3 > 0 for one in convolutions]


@pytest.mark.parametrize("name", GRAPHS)
def test_pruned_channels_are_exactly_zero_and_the_nodes_are_as_they_were(name: str) -> None:
    model = classifier(*GRAPHS[name])
    before = model.SerializeToString()
    convolutions = _usable(model)
    kept = _every_third_gone(convolutions)
    changed = folded(model, convolutions, kept, shapes_of(model))
    assert list(changed.graph.node) == list(model.graph.node) or name == "shared weights"
    assert [n.op_type for n in changed.graph.node] == [n.op_type for n in model.graph.node]
    assert model.SerializeToString() == before
    onnx.checker.check_model(changed, full_check=True)
    names = [one.layer.name for one in convolutions]
    found = open_runner(with_outputs(changed, *names), Machine()).run({"x": images()})
    for values, own in zip(found, kept, strict=True):
        assert not values[:, ~own].any()
        assert values[:, own].any(axis=(0, 2, 3)).all()


@pytest.mark.parametrize("name", GRAPHS)
def test_the_fold_says_what_the_simulation_says(name: str) -> None:
    model = classifier(*GRAPHS[name])
    signature, convolutions = read_signature(model), _usable(model)
    kept = _every_third_gone(convolutions)
    changed = folded(model, convolutions, kept, shapes_of(model))
    compare = folding_comparison(model, changed, signature, convolutions, kept)
    assert compare(images()) < 1e-4
    with pytest.raises(ModelError, match="differ from the plan's"):
        folding_comparison(model, model, signature, convolutions, kept)(images())


def test_nothing_masked_changes_nothing_and_a_mask_acts_on_its_own_convolution() -> None:
    model = classifier(CROSSED, CROSSED_SHAPES)
    convolutions = _usable(model)
    masked = open_runner(maskable_model(model, convolutions, "logits"), Machine())
    everything = [np.ones(6, np.bool_) for _ in convolutions]
    (expected,) = open_runner(model, Machine()).run({"x": images()})
    (found,) = masked.run({"x": images(), **mask_feeds(convolutions, everything)})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    nothing = [np.zeros(6, np.bool_) for _ in convolutions]
    (found,) = masked.run({"x": images(), **mask_feeds(convolutions, nothing)})
    np.testing.assert_allclose(found, np.broadcast_to(weights["b4"], found.shape), atol=1e-6)
