import numpy as np
import onnx_graphsurgeon as gs
import pytest

from hardener.model.weights import NotConstantError, constant_of, zero_weights

VALUES = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
COLUMN = np.zeros((3, 4), np.bool_)
COLUMN[:, 1] = True


def _graph(*nodes: gs.Node) -> gs.Graph:
    return gs.Graph(nodes=list(nodes), opset=17)


def _layer(weight: gs.Tensor, name: str = "y") -> gs.Node:
    x = gs.Variable("x", np.float32, [2, 3])
    return gs.Node("MatMul", name, inputs=[x, weight], outputs=[gs.Variable(name)])


def _made(op: str, *inputs: gs.Tensor, **attrs: object) -> tuple[gs.Node, gs.Variable]:
    made = gs.Variable(f"{op} made")
    return gs.Node(op, op, attrs, list(inputs), [made]), made


def test_weights_are_zeroed_in_a_copy() -> None:
    layer = _layer(gs.Constant("w", VALUES))
    zero_weights(_graph(layer), layer, 1, COLUMN)
    np.testing.assert_array_equal(layer.inputs[1].values, np.where(COLUMN, 0, VALUES))
    assert layer.inputs[1].name == "w"
    assert VALUES[0, 1] == 2


def test_other_readers_keep_the_weights() -> None:
    shared = gs.Constant("w", VALUES)
    first, second = _layer(shared, "first"), _layer(shared, "second")
    zero_weights(_graph(first, second), first, 1, COLUMN)
    assert constant_of(first.inputs[1])[0, 1] == 0  # type: ignore[index]
    assert constant_of(second.inputs[1])[0, 1] == 2  # type: ignore[index]


def test_weights_behind_a_transposition_are_zeroed_before_it() -> None:
    node, weight = _made("Transpose", gs.Constant("w", VALUES.T.copy()), perm=[1, 0])
    layer = _layer(weight)
    zero_weights(_graph(node, layer), layer, 1, COLUMN)
    np.testing.assert_array_equal(node.inputs[0].values, np.where(COLUMN, 0, VALUES).T)


@pytest.mark.parametrize(("axis", "points"), [(1, [3, 5, 7, 9]), (0, [3, 5, 7])])
def test_integers_become_the_zero_point_of_their_channel(axis: int, points: list[int]) -> None:
    stored = gs.Constant("w", VALUES.astype(np.uint8))
    scales = gs.Constant("s", np.ones(len(points), np.float32))
    zeros = gs.Constant("z", np.array(points, np.uint8))
    node, weight = _made("DequantizeLinear", stored, scales, zeros, axis=axis)
    layer = _layer(weight)
    zero_weights(_graph(node, layer), layer, 1, COLUMN)
    expected = VALUES.astype(np.uint8)
    expected[:, 1] = points[1] if axis == 1 else points
    np.testing.assert_array_equal(node.inputs[0].values, expected)


def test_a_node_that_two_layers_take_weights_from_is_doubled() -> None:
    node, weight = _made("Transpose", gs.Constant("w", VALUES.T.copy()), perm=[1, 0])
    first, second = _layer(weight, "first"), _layer(weight, "second")
    graph = _graph(node, first, second)
    zero_weights(graph, first, 1, COLUMN)
    assert [n.op for n in graph.nodes] == ["Transpose", "Transpose", "MatMul", "MatMul"]
    assert constant_of(second.inputs[1].inputs[0].inputs[0])[1, 0] == 2  # type: ignore[index]
    assert constant_of(first.inputs[1].inputs[0].inputs[0])[1, 0] == 0  # type: ignore[index]


def test_computed_weights_are_refused_by_the_layers_name() -> None:
    node, weight = _made("Relu", gs.Variable("x", np.float32, [3, 4]))
    layer = _layer(weight)
    with pytest.raises(NotConstantError, match=r"'y' \(MatMul\) computes its weights"):
        zero_weights(_graph(node, layer), layer, 1, COLUMN)
