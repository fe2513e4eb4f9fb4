"""Plans: what is refused, what is computed once, what is left out, how long a tensor lives."""

import weakref
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import parser
from support.operators import Case, check, network_of
from torch import Tensor

from hardener.errors import ModelError
from hardener.model.differentiation.building import read_plan
from hardener.model.differentiation.fusing import fused
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.differentiation.nodes import Step

REFUSED = {
    "unknown operator": (Case("y = RandomNormalLike(x)"), "RandomNormalLike.*not supported"),
    "unknown domain": (Case("y = com.microsoft.Inverse(x)"), r"com\.microsoft\.Inverse"),
    "mode": (
        Case(
            'y = Resize<coordinate_transformation_mode="tf_crop_and_resize">(x, , s)', {"s": [1.0]}
        ),
        "tf_crop_and_resize",
    ),
    "training": (
        Case("y = BatchNormalization<training_mode=1>(x, g, g, g, g)", {"g": (3,)}),
        "from the batch of images",
    ),
    "second output": (
        Case("v, i = MaxPool<kernel_shape=[2,2]>(x)\nf = Cast<to=1>(i)\ny = Add(v, f)"),
        "only its first output",
    ),
    "blocks": (
        Case("q = QuantizeLinear<block_size=2>(x, s)\ny = DequantizeLinear(q, s)", {"s": 0.5}),
        "blocks",
    ),
    "condition of the images": (
        Case(
            "m = ReduceMax<keepdims=0>(x)\nc = Cast<to=9>(m)\n"
            "y = If(c) <then_branch = a () => (float t) {t = Relu(x)}, "
            "else_branch = b () => (float e) {e = Neg(x)}>"
        ),
        "condition depends on the images",
    ),
    "loop": (
        Case(
            "y = Loop(n, c, x) <body = b (int64 i, bool k, float v) => (bool o, float w) "
            "{o = Identity(k)\nw = Relu(v)}>",
            {"n": 2, "c": np.array(True)},
        ),
        "Loop.*not supported",
    ),
    "large constant": (
        Case("z = ConstantOfShape(s)\ny = Add(x, z)", {"s": [1 << 20, 1 << 20]}),
        "too large",
    ),
    "many repeats": (
        Case("z = Tile(w, s)\ny = Add(x, z)", {"w": (7,), "s": [1 << 40]}),
        "too many",
    ),
    "long range": (
        Case(
            "z = Range(a, b, c)\nf = Cast<to=1>(z)\ny = Add(x, f)", {"a": 0, "b": 1 << 60, "c": 1}
        ),
        "too long",
    ),
    "broken constant": (Case("z = MatMul(w, w)\ny = Add(x, z)", {"w": (7, 6)}), "MatMul"),
    "independent of the images": (
        Case("y = Relu(w)", {"w": (3, 4)}),
        "does not depend on the images",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_refused_before_anything_runs(name: str) -> None:
    case, reason = REFUSED[name]
    with pytest.raises(ModelError, match=reason) as caught:
        read_plan(case.model(), "x", "y")
    assert "\n" not in str(caught.value)


def test_what_the_output_does_not_need_is_neither_run_nor_refused() -> None:
    plan = read_plan(Case("z = RandomNormalLike(x)\ny = Relu(x)").model(), "x", "y")
    assert [node.op for node in plan.nodes] == ["Relu"]


def test_constants_are_computed_once() -> None:
    plan = read_plan(
        Case("a = Neg(w)\nb = Mul(a, w)\nc = Transpose(b)\ny = Add(x, c)", {"w": (7, 6)}).model(),
        "x",
        "y",
    )
    assert [node.op for node in plan.nodes] == ["Add"]
    assert set(plan.constants) == {"c"}


@pytest.mark.parametrize("condition", [True, False])
def test_a_branch_with_a_known_condition_stands_in_its_place(condition: bool) -> None:
    model = Case(
        "z = Abs(x)\n"
        "y = If(c) <then_branch = a () => (float t) {t = Neg(z)}, "
        "else_branch = b () => (float e) {u = Constant<value_float=2.0>()\ne = Mul(z, u)}>",
        {"c": np.array(condition)},
    ).model()
    x = torch.tensor([[-3.0, 2.0]])
    expected = [[-3.0, -2.0]] if condition else [[6.0, 4.0]]
    assert network_of(model)(x).tolist() == expected


def test_local_functions_are_inlined() -> None:
    model = parser.parse_model(
        '<ir_version: 8, opset_import: ["":17, "mine":1]>\n'
        "g (float[2,3] x) => (float[2,3] y) { y = mine.twice(x) }\n"
        '<domain: "mine", opset_import: ["":17]> twice (a) => (b) { b = Add(a, a) }'
    )
    assert network_of(model)(torch.ones(2, 3)).tolist() == [[2.0] * 3] * 2


def test_batch_norm_goes_into_the_convolution_only_where_nobody_else_reads_it() -> None:
    norm = {"g": (5,), "b": (5,), "m": (5,), "var": (5,)}
    nodes = "a = Conv(x, w)\nc = BatchNormalization(a, g, b, m, var)\n"
    weights = {"w": (5, 3, 3, 3), **norm}
    alone = fused(read_plan(Case(nodes + "y = Relu(c)", weights).model(), "x", "y"))
    shared = fused(read_plan(Case(nodes + "y = Add(a, c)", weights).model(), "x", "y"))
    assert [node.op for node in alone.nodes] == ["Conv", "ReluInPlace"]
    assert [node.op for node in shared.nodes] == ["Conv", "BatchNormalization", "Add"]


def test_the_first_of_two_outputs_that_fuse_stays_one() -> None:
    """The convolution is itself the result: normalising must not take its place."""
    model = Case(
        "y = Conv(x, w)\nc = BatchNormalization(y, g, b, m, var)",
        {"w": (5, 3, 3, 3), "g": (5,), "b": (5,), "m": (5,), "var": (5,)},
    ).model()
    assert [node.op for node in fused(read_plan(model, "x", "y")).nodes] == ["Conv"]


def test_relu_comes_after_the_pool_where_only_the_pool_reads_it() -> None:
    pool = "p = MaxPool<kernel_shape=[2,2]>(r)\n"
    alone = Case(f"c = Conv(x, w)\nr = Relu(c)\n{pool}y = Neg(p)", {"w": (5, 3, 3, 3)})
    shared = Case(f"r = Relu(x)\n{pool}q = ReduceMax(r)\ny = Mul(p, q)")
    operators = [
        [node.op for node in fused(read_plan(case.model(), "x", "y")).nodes]
        for case in (alone, shared)
    ]
    assert operators == [
        ["Conv", "MaxPool", "Relu", "Neg"],
        ["Relu", "MaxPool", "ReduceMax", "Mul"],
    ]
    check(alone)
    check(shared)


def test_relu_overwrites_only_what_nobody_else_reads() -> None:
    cases = {
        "ReluInPlace": Case("a = Add(x, x)\ny = Relu(a)"),
        "Relu": Case("a = Add(x, x)\nr = Relu(a)\ny = Mul(a, r)"),
    }
    for operator, case in cases.items():
        assert operator in [node.op for node in fused(read_plan(case.model(), "x", "y")).nodes]
        check(case)
    of_images = Case("y = Relu(x)")
    images = torch.tensor([[-1.0, 1.0]])
    network_of(of_images.model())(images)
    assert images.tolist() == [[-1.0, 1.0]]


def test_a_tensor_is_let_go_when_nobody_reads_it_again() -> None:
    plan = read_plan(Case("a = Neg(x)\nb = Exp(a)\nc = Sin(b)\ny = Add(b, c)").model(), "x", "y")
    alive: list[weakref.ref[Tensor]] = []
    counts: list[int] = []

    def watched(function: Step) -> Step:
        def step(*inputs: Tensor) -> Tensor:
            found = function(*inputs)
            assert isinstance(found, Tensor)
            alive.append(weakref.ref(found))
            counts.append(sum(reference() is not None for reference in alive))
            return found

        return step

    spied = replace(plan, steps=tuple(watched(step) for step in plan.steps))
    network = GraphNetwork(spied, channels_last=False)
    with torch.no_grad():
        network(torch.rand(2, 3))
    assert counts == [1, 2, 2, 3]


def test_a_node_that_torch_cannot_run_is_named() -> None:
    model = Case("y = MatMul(x, w)", {"w": (5, 5)}).model()
    model.graph.node[0].name = "product"
    with pytest.raises(ModelError, match=r"node 'product' \(MatMul\) cannot be run") as caught:
        network_of(model)(torch.rand(2, 3))
    assert "\n" not in str(caught.value)


def test_images_go_in_channels_first_where_the_graph_takes_them_last() -> None:
    model = Case("y = Mul(x, w)", {"w": np.array([1.0, 10.0, 100.0])}, shape=(1, 2, 2, 3)).model()
    network = GraphNetwork(read_plan(model, "x", "y"), channels_last=True)
    assert network(torch.ones(1, 3, 2, 2))[0, 0, 0].tolist() == [1.0, 10.0, 100.0]


def test_weights_that_only_a_dead_node_reads_are_not_kept() -> None:
    plan = read_plan(Case("z = Mul(x, v)\ny = Mul(x, w)", {"v": (7,), "w": (7,)}).model(), "x", "y")
    assert set(plan.constants) == {"w"}


def test_sparse_weights_are_refused() -> None:
    model = Case("y = Mul(x, w)", {"w": (7,)}, shape=(1, 7)).model()
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "w")
    places = onnx.numpy_helper.from_array(np.zeros(1, np.int64), "w_places")
    del model.graph.initializer[:]
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [7]))
    with pytest.raises(ModelError, match="sparse"):
        read_plan(model, "x", "y")
