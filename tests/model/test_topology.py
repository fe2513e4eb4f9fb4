import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, RESIDUAL, RESIDUAL_SHAPES, classifier

from hardener.errors import ModelError, UsageError
from hardener.model.signature import read_signature
from hardener.model.switching import maskable_head
from hardener.model.topology import FeatureLayer, find_feature_layer

ATTENTION = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[8,8]>(x, w1, b1)
  t = Flatten(c)
  u = Softmax(t)
  m = Mul(u, t)
  logits = Gemm<transB=1>(m, w2, b2)
}"""

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


def test_a_named_layer_overrides_the_search() -> None:
    model = classifier(RESIDUAL, dict(RESIDUAL_SHAPES))
    assert find_feature_layer(model, read_signature(model), "c") == FeatureLayer("c", 6)


@pytest.mark.parametrize(
    ("name", "message"),
    [("featur", "did you mean feature"), ("w1", "no .* activation"), ("d", "no .* activation")],
)
def test_a_name_that_is_no_spatial_tensor_is_refused(name: str, message: str) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    with pytest.raises(UsageError, match=message):
        find_feature_layer(model, read_signature(model), name)


def test_attention_is_refused_by_name() -> None:
    shapes: dict[str, object] = {"w1": (6, 3, 8, 8), "b1": (6,), "w2": (5, 6), "b2": (5,)}
    model = classifier(ATTENTION, shapes)
    with pytest.raises(ModelError, match=r"Softmax\) is attention"):
        find_feature_layer(model, read_signature(model))


def test_branches_that_meet_in_the_head_are_not_guessed_between() -> None:
    shapes: dict[str, object] = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (5, 12), "b2": (5,)}
    model = classifier(BRANCHES, shapes)
    with pytest.raises(ModelError, match=r"several branches .*left, right.*--layer"):
        find_feature_layer(model, read_signature(model))


def test_a_layer_with_a_way_around_it_cannot_be_cut_at() -> None:
    model = classifier(RESIDUAL, dict(RESIDUAL_SHAPES))
    with pytest.raises(ModelError, match="leads around"):
        maskable_head(model, FeatureLayer("c", 6), read_signature(model))
