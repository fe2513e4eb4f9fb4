"""Models that answer to how many images come, and those that only size tensors by it."""

from pathlib import Path

import onnx
import pytest
from support.graphs import ALL, PLAIN, PLAIN_SHAPES, classifier, images, saved

from hardener.errors import ModelError
from hardener.model.batch_independence import require_batch_independence
from hardener.model.observing import observed_shapes
from hardener.model.quarantine import load_untrusted

END = "logits = Gemm<transB=1>(d, w2, b2)"
COUNT = "z = Constant<value_int=0>()\n  s = Shape(x)\n  n = Gather(s, z)\n  "
ALONE = (
    "one = Constant<value_int=1>()\n  e = Equal(n, one)\n  gate = Cast<to=1>(e)\n  "
    "raised = Gemm<transB=1>(d, w2, b2)\n  m = Mul(raised, gate)\n  logits = Add(raised, m)"
)
ASIDE = "a = Constant<value_ints=[0]>()\n  v = Unsqueeze(n, a)\n  "

REFUSED = {
    "a gate that opens for one image": COUNT + ALONE,
    "a gate by a size and not by its value": COUNT + ASIDE
    + "f = ConstantOfShape<value=float[1] {1.0}>(v)\n  r = ReduceSum<keepdims=0>(f)\n  "
    + "g = " + END[9:] + "\n  logits = Mul(g, r)",
    "a gate by where a table is read": COUNT
    + "table = Constant<value_floats=[0.0,9.0,0.0,0.0]>()\n  r = Gather(table, n)\n  g = " + END[9:]
    + "\n  logits = Mul(g, r)",
    "a channel that the number of images picks": COUNT + ASIDE
    + "k = Constant<value_ints=[1]>()\n  h = Constant<value_ints=[5]>()\n  "
    + "part = Slice(d, v, h, k)\n  r = ReduceSum<keepdims=1>(part, k)\n  g = " + END[9:]
    + "\n  logits = Add(g, r)",
}  # fmt: skip
MIXED = f"g = {END[9:]}\n  m = ReduceMean<axes=[0], keepdims=1>(g)\n  logits = Sub(g, m)"
SPREAD = f"g = {END[9:]}\n  m = Softmax<axis=0>(g)\n  logits = Mul(g, m)"
SIZED = {
    "a reshape": COUNT + ASIDE
    + "k = Constant<value_ints=[-1]>()\n  t = Concat<axis=0>(v, k)\n  e = Reshape(d, t)\n  "
    + "logits = Gemm<transB=1>(e, w2, b2)",
    "an expanded token": COUNT + ASIDE
    + "k = Constant<value_ints=[96]>()\n  t = Concat<axis=0>(v, k)\n  "
    + "half = Constant<value_floats=[0.5]>()\n  token = Expand(half, t)\n  e = Add(d, token)\n  "
    + "logits = Gemm<transB=1>(e, w2, b2)",
    "windows counted and uncounted": COUNT + ASIDE
    + "two = Constant<value_ints=[2]>()\n  w = Mul(v, two)\n  u = Div(w, two)\n  "
    + "k = Constant<value_ints=[-1]>()\n  t = Concat<axis=0>(u, k)\n  e = Reshape(d, t)\n  "
    + "logits = Gemm<transB=1>(e, w2, b2)",
    "a scale by the width": "a = Constant<value_int=3>()\n  s = Shape(x)\n  n = Gather(s, a)\n  "
    + "f = Cast<to=1>(n)\n  e = Div(d, f)\n  logits = Gemm<transB=1>(e, w2, b2)",
}  # fmt: skip


def _model(lines: str) -> onnx.ModelProto:
    return classifier(PLAIN.replace(END, lines), dict(PLAIN_SHAPES))


def _examine(model: onnx.ModelProto) -> None:
    two = observed_shapes(model, {"x": images(2)})
    require_batch_independence(model, observed_shapes(model, {"x": images(1)}), two)


@pytest.mark.parametrize("name", REFUSED)
def test_computing_with_the_number_of_images_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="depends on how many images come at once"):
        _examine(_model(REFUSED[name]))
    with pytest.raises(ModelError, match="depends on how many images come at once"):
        load_untrusted(saved(_model(REFUSED[name]), tmp_path / "m.onnx"))


def test_a_mean_over_the_batch_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\(ReduceMean\) gives .* mixes the images of a batch"):
        _examine(_model(MIXED))


def test_images_that_share_a_softmax_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="something else of an image alone"):
        load_untrusted(saved(_model(SPREAD), tmp_path / "m.onnx"))


@pytest.mark.parametrize("name", SIZED)
def test_sizes_may_depend_on_the_number_of_images(name: str, tmp_path: Path) -> None:
    assert load_untrusted(saved(_model(SIZED[name]), tmp_path / "m.onnx")).shapes


@pytest.mark.parametrize("name", ALL)
def test_ordinary_graphs_pass(name: str) -> None:
    text, shapes, _ = ALL[name]
    _examine(classifier(text, dict(shapes)))
