"""Several nodes that are one operator of torch."""

import pytest
from support.operators import Case, check

from hardener.model.differentiation.building import read_plan
from hardener.model.differentiation.fusing import fused

NUMBERS = {"root": 2**0.5, "inverse": 0.5**0.5, "one": 1.0, "half": 0.5, "two": 2.0}
GATE = "d = Div(x, root)\ne = Erf(d)\ng = Add(e, one)\n"
INVERSE = "d = Mul(inverse, x)\ne = Erf(d)\ng = Add(one, e)\n"

GELU = {
    "last": f"{GATE}m = Mul(x, g)\ny = Mul(m, half)",
    "last, turned": f"{INVERSE}m = Mul(g, x)\ny = Mul(half, m)",
    "first": f"{GATE}h = Mul(x, half)\ny = Mul(h, g)",
    "first, divided": f"{INVERSE}h = Div(x, two)\ny = Mul(g, h)",
    "gate": f"{INVERSE}h = Mul(g, half)\ny = Mul(x, h)",
}
NO_GELU = {
    "other factor": f"{GATE}m = Mul(x, g)\ny = Mul(m, two)",
    "other inside": GATE.replace("Div", "Mul") + "m = Mul(x, g)\ny = Mul(m, half)",
    "other value": f"{GATE}z = Exp(x)\nm = Mul(z, g)\ny = Mul(m, half)",
    "halved twice": f"{GATE}h = Mul(x, half)\nk = Mul(g, half)\ny = Mul(h, k)",
    "not halved": f"{GATE}y = Mul(x, g)",
    "two divided by": f"{GATE}h = Div(two, x)\ny = Mul(h, g)",
}


def _operators(case: Case) -> list[str]:
    return [node.op for node in fused(read_plan(case.model(), "x", "y")).nodes]


@pytest.mark.parametrize("name", GELU)
def test_gelu_is_found_in_every_order(name: str) -> None:
    case = Case(GELU[name], NUMBERS)
    assert _operators(case) == ["Gelu"]
    check(case)


@pytest.mark.parametrize("name", NO_GELU)
def test_what_only_looks_like_gelu_stays(name: str) -> None:
    case = Case(NO_GELU[name], NUMBERS, low=0.5)
    assert "Gelu" not in _operators(case)
    check(case)


def test_what_others_read_of_gelu_stays_too() -> None:
    case = Case(f"{GATE}m = Mul(x, g)\nu = Mul(m, half)\ny = Add(u, g)", NUMBERS)
    assert _operators(case) == ["Div", "Erf", "Add", "Gelu", "Add"]
    check(case)


@pytest.mark.parametrize("product", ["Mul(x, s)", "Mul(s, x)"])
def test_swish_is_found(product: str) -> None:
    case = Case(f"s = Sigmoid(x)\ny = {product}")
    assert _operators(case) == ["Swish"]
    check(case)


def test_another_gate_is_no_swish() -> None:
    case = Case("z = Neg(x)\ns = Sigmoid(z)\ny = Mul(x, s)")
    assert _operators(case) == ["Neg", "Sigmoid", "Mul"]
    check(case)


@pytest.mark.parametrize("nodes", ["y = Add(m, b)", "y = Add(b, m)"])
def test_a_product_takes_its_bias_along(nodes: str) -> None:
    case = Case(f"m = MatMul(x, w)\n{nodes}", {"w": (7, 4), "b": (4,)})
    assert _operators(case) == ["Affine"]
    check(case)


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ("m = MatMul(x, w)\na = Add(m, b)\ny = Mul(a, m)", {"w": (7, 4), "b": (4,)}),
        ("m = MatMul(x, w)\ny = Add(m, b)", {"w": (7, 4), "b": (1,)}),
        ("m = MatMul(x, w)\ny = Add(m, b)", {"w": (3, 7, 4), "b": (4,)}),
        ("m = MatMul(w, x)\ny = Add(m, b)", {"w": (4, 6), "b": (7,)}),
    ],
)
def test_other_products_and_sums_stay(nodes: str, weights: dict[str, object]) -> None:
    case = Case(nodes, weights)
    assert "Affine" not in _operators(case)
    check(case)


def test_rows_that_do_not_lie_together_are_multiplied_as_well() -> None:
    check(Case("t = Transpose<perm=[2,0,3,1]>(x)\ny = MatMul(t, w)", {"w": (3, 4)}))
