"""Feature layers of small graphs of every kind, told from the graph and one run."""

from pathlib import Path

import onnx
import pytest
from onnxruntime.quantization import quantize_dynamic
from support.graphs import (
    NHWC,
    NHWC_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    RESIDUAL,
    RESIDUAL_SHAPES,
    TRANSFORMER,
    TRANSFORMER_SHAPES,
    Shapes,
    classifier,
    shapes_of,
)

from hardener.errors import ModelError, UsageError
from hardener.model.quarantine import load_untrusted
from hardener.model.signature import read_signature
from hardener.model.topology import FeatureLayer, find_feature_layer

BRANCHES = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  a = Conv<kernel_shape=[3,3]>(x, w1, b1)
  left = Relu(a)
  right = Tanh(a)
  gl = GlobalAveragePool(left)
  gr = GlobalAveragePool(right)
  fl = Flatten(gl)
  fr = Flatten(gr)
  both = Concat<axis=1>(fl, fr)
  logits = Gemm<transB=1>(both, w2, b2)
}"""
BRANCHES_SHAPES: Shapes = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (5, 12), "b2": (5,)}

POOLED_TWICE = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,3]>(x, w1, b1)
  feature = Relu(c)
  g = GlobalAveragePool(feature)
  e = Conv<kernel_shape=[1,1]>(g, w2, b1)
  r = Relu(e)
  d = Flatten(r)
  logits = Gemm<transB=1>(d, w3, b3)
}"""
POOLED_TWICE_SHAPES: Shapes = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w2": (6, 6, 1, 1), "w3": (5, 6), "b3": (5,),
}  # fmt: skip

SHRUNK_TO_ONE = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,3]>(x, w1, b1)
  r = Relu(c)
  e = Conv<kernel_shape=[6,6]>(r, w2, b1)
  feature = Relu(e)
  d = Flatten(feature)
  logits = Gemm<transB=1>(d, w3, b3)
}"""
SHRUNK_TO_ONE_SHAPES: Shapes = {**POOLED_TWICE_SHAPES, "w2": (6, 6, 6, 6)}


def _found(text: str, shapes: Shapes, name: str | None = None) -> FeatureLayer:
    model = classifier(text, dict(shapes))
    return find_feature_layer(model, read_signature(model), shapes_of(model), name)


def test_a_transformers_layer_is_the_hidden_units_of_its_last_block() -> None:
    expected = FeatureLayer("feature", 12, axis=2, rank=3, bypassed=True)
    assert _found(TRANSFORMER, TRANSFORMER_SHAPES) == expected
    assert expected.positions == (1,)
    assert expected.along_channels(-1) == [1, 1, -1]


def test_branches_that_meet_in_the_head_give_what_they_branch_from() -> None:
    assert _found(BRANCHES, BRANCHES_SHAPES) == FeatureLayer("a", 6)


def test_a_head_with_convolutions_behind_the_pooling_is_a_head() -> None:
    assert _found(POOLED_TWICE, POOLED_TWICE_SHAPES) == FeatureLayer("feature", 6)


def test_a_map_that_shrank_to_one_position_is_still_the_last_one() -> None:
    assert _found(SHRUNK_TO_ONE, SHRUNK_TO_ONE_SHAPES) == FeatureLayer("feature", 6)


def test_channels_may_lie_on_the_last_axis() -> None:
    assert _found(NHWC, NHWC_SHAPES) == FeatureLayer("feature", 6, axis=3)


def test_a_named_layer_overrides_the_search() -> None:
    expected = FeatureLayer("c", 6, bypassed=True)
    assert _found(RESIDUAL, RESIDUAL_SHAPES, "c") == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("featur", "did you mean feature"),
        ("w1", "no activation"),
        ("d", "no activation"),
        ("x", "no activation"),
    ],
)
def test_a_name_that_is_no_activation_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _found(PLAIN, PLAIN_SHAPES, name)


def test_a_model_without_a_map_that_all_ways_lead_through_is_refused() -> None:
    text = PLAIN.replace("d = Flatten(p)", "i = Flatten(x)\n  j = Flatten(p)\n  d = Sub(j, i)")
    shapes: Shapes = {**PLAIN_SHAPES, "w1": (12, 3, 3, 3), "b1": (12,), "w2": (5, 192)}
    with pytest.raises(ModelError, match="no feature map that all ways lead through"):
        _found(text, shapes)


def test_a_layer_of_one_channel_is_refused() -> None:
    model = classifier(PLAIN, {**PLAIN_SHAPES, "w1": (1, 3, 3, 3), "b1": (1,), "w2": (5, 16)})
    with pytest.raises(ModelError, match="has one channel only"):
        find_feature_layer(model, read_signature(model), shapes_of(model))


def test_behind_dynamic_quantisation_it_is_the_real_numbers(tmp_path: Path) -> None:
    plain = classifier(TRANSFORMER, dict(TRANSFORMER_SHAPES))
    onnx.save(plain, tmp_path / "f.onnx")
    quantize_dynamic(tmp_path / "f.onnx", tmp_path / "q.onnx")
    model = load_untrusted(tmp_path / "q.onnx")
    layer = find_feature_layer(model.proto, read_signature(model.proto), model.shapes)
    expected = find_feature_layer(plain, read_signature(plain), shapes_of(plain))
    assert (layer.name, layer.axis, layer.scale) == (expected.name, expected.axis, None)
