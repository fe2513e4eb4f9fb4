import pytest
from support.graphs import ALL, PLAIN, PLAIN_SHAPES, classifier

from hardener.model.blind_spots import blind_spots
from hardener.model.signature import read_signature

END = "logits = Gemm<transB=1>(d, w2, b2)"


@pytest.mark.parametrize(
    "line",
    [
        "k = Constant<value_float=9.0>()\n  s = Greater(d, k)\n  t = Cast<to=1>(s)",
        "t = Sign(d)",
        "s = Cast<to=7>(d)\n  t = Cast<to=1>(s)",
        "t = Round(d)",
    ],
)
def test_operators_without_a_slope_are_named(line: str) -> None:
    lines = f"{line}\n  e = Add(d, t)\n  logits = Gemm<transB=1>(e, w2, b2)"
    model = classifier(PLAIN.replace(END, lines), dict(PLAIN_SHAPES))
    (said,) = blind_spots(model, read_signature(model))
    assert "computes without a slope" in said


def test_steps_behind_the_logits_are_named() -> None:
    lines = f"g = {END[9:]}\n  h = Floor(g)\n  logits = Softmax<axis=1>(h)"
    model = classifier(PLAIN.replace(END, lines), dict(PLAIN_SHAPES))
    assert blind_spots(model, read_signature(model))


@pytest.mark.parametrize("name", ALL)
def test_ordinary_graphs_have_none(name: str) -> None:
    text, shapes, _ = ALL[name]
    model = classifier(text, dict(shapes))
    assert blind_spots(model, read_signature(model)) == ()
