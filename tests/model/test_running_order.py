import numpy as np
import onnx
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, images

from hardener.model.running_order import in_running_order
from hardener.model.runtime import Machine, open_runner


def test_nodes_are_sorted_and_mean_the_same() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    (expected,) = open_runner(model, Machine()).run({"x": images()})
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes[::-1])
    found = in_running_order(model)
    onnx.checker.check_model(found, full_check=True)
    assert [node.op_type for node in found.graph.node] == [node.op_type for node in nodes]
    np.testing.assert_array_equal(open_runner(found, Machine()).run({"x": images()})[0], expected)


def test_a_cycle_is_left_for_the_checker() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.graph.node[0].input[0] = "logits"
    before = model.SerializeToString()
    assert in_running_order(model).SerializeToString() == before
