import onnx_graphsurgeon as gs
from support.graphs import PLAIN, PLAIN_SHAPES, RESIDUAL, RESIDUAL_SHAPES, Shapes, classifier

from hardener.model.paths import data_paths

SIZED = PLAIN.replace(
    "d = Flatten(p)",
    "s = Shape(x)\n  n = Gather(s, first)\n  form = Concat<axis=0>(n, rest)\n"
    "  d = Reshape(p, form)",
)
SIZED_SHAPES: Shapes = {**PLAIN_SHAPES, "first": [0], "rest": [-1]}


def test_all_ways_lead_through_a_chain_and_around_what_a_residual_skips() -> None:
    graph = gs.import_onnx(classifier(RESIDUAL, dict(RESIDUAL_SHAPES)))
    paths = data_paths(graph, "x", "logits")
    assert "feature" in paths.cuts()
    assert "c" in paths.tensors
    assert "c" not in paths.cuts()


def test_a_size_that_a_reshape_is_told_is_no_way() -> None:
    graph = gs.import_onnx(classifier(SIZED, dict(SIZED_SHAPES)))
    paths = data_paths(graph, "x", "logits")
    assert "form" not in paths.tensors
    assert list(paths.cuts()) == ["c", "feature", "p", "d", "logits"]
    assert [node.op for node in paths.nodes] == ["Conv", "Relu", "MaxPool", "Reshape", "Gemm"]


def test_nodes_before_a_tensor_are_those_it_is_made_by() -> None:
    graph = gs.import_onnx(classifier(PLAIN, dict(PLAIN_SHAPES)))
    paths = data_paths(graph, "x", "logits")
    assert [node.op for node in paths.before(graph.tensors()["feature"])] == ["Conv", "Relu"]
