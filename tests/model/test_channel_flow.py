"""Which columns read a channel, against what changing that channel changes."""

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, Shapes, classifier, shapes_of

from hardener.model.channel_flow import CannotFollowError, Reader, readers_of
from hardener.model.runtime import Machine, open_runner

POOL = "p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)"
GEMM = "d = Flatten(p)"

WAYS: dict[str, tuple[str, Shapes]] = {
    "flatten": (POOL, {}),
    "channels last": (f"{POOL}\n  t = Transpose<perm=[0,2,3,1]>(p)", {}),
    "shuffle": (
        f"{POOL}\n  a = Reshape(p, two)\n  b = Transpose<perm=[0,2,1,3,4]>(a)\n"
        "  t = Reshape(b, back)",
        {"two": [0, 2, 3, 4, 4], "back": [0, 6, 4, 4]},
    ),
    "concatenation": (f"{POOL}\n  t = Concat<axis=1>(p, p)", {"w2": (5, 192)}),
    "slice": (f"{POOL}\n  t = Slice(p, one, five, axis)",
              {"one": [1], "five": [5], "axis": [1], "w2": (5, 64)}),
    "split": (f"{POOL}\n  t, rest = Split<axis=1>(p, parts)",
              {"parts": [2, 4], "w2": (5, 32)}),
    "gather": (f"{POOL}\n  t = Gather<axis=1>(p, order)",
               {"order": [5, 3, 3], "w2": (5, 48)}),
    "gelu in parts": (
        f"{POOL}\n  h = Div(p, root)\n  e = Erf(h)\n  o = Add(e, unit)\n  m = Mul(p, o)\n"
        "  t = Mul(m, half)",
        {"root": 1.4142, "unit": 1.0, "half": 0.5},
    ),
    "squeeze and excite": (
        f"{POOL}\n  g = GlobalAveragePool(p)\n  k = Conv<kernel_shape=[1,1]>(g, w3)\n"
        "  s = Sigmoid(k)\n  t = Mul(p, s)",
        {"w3": (6, 6, 1, 1)},
    ),
    "grouped convolution": (f"{POOL}\n  t = Conv<kernel_shape=[1,1], group=3>(p, w4)",
                            {"w4": (6, 2, 1, 1)}),
}  # fmt: skip


def _followed(way: str) -> tuple[onnx.ModelProto, list[Reader]]:
    lines, more = WAYS[way]
    text = PLAIN.replace(POOL, lines)
    if "t = " in lines or "t, rest" in lines:
        text = text.replace(GEMM, "d = Flatten(t)")
    model = classifier(text, {**PLAIN_SHAPES, **more})
    graph = gs.import_onnx(model)
    return model, readers_of(graph, graph.tensors()["feature"], 1, shapes_of(model))


@pytest.mark.parametrize("way", WAYS)
def test_columns_of_a_channel_are_those_that_its_values_meet(way: str) -> None:
    model, readers = _followed(way)
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    names = [reader.node.inputs[0].name for reader in readers]
    del shown.graph.output[:]
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    graph = gs.import_onnx(shown)
    rng = np.random.default_rng(0)
    feature = graph.tensors()["feature"]
    feature.inputs.clear()
    feature.dtype, feature.shape = np.dtype(np.float32), [2, 6, 8, 8]
    graph.inputs = [feature]
    head = gs.export_onnx(graph.cleanup(), do_type_check=False)
    values = rng.uniform(1, 2, (2, 6, 8, 8)).astype(np.float32)
    base = open_runner(head, Machine()).run({"feature": values})
    for channel in range(6):
        pruned = np.zeros(6, np.bool_)
        pruned[channel] = True
        zeroed = values.copy()
        zeroed[:, channel] = 0
        found = open_runner(head, Machine()).run({"feature": zeroed})
        for reader, before, after in zip(readers, base, found, strict=True):
            weight = weights[reader.node.inputs[reader.position].name]
            where = reader.columns(weight.shape, pruned)
            vanished = ((before != 0) & (after == 0)).all(axis=0)
            if reader.node.op == "Conv":
                groups = int(reader.node.attrs.get("group", 1))
                met = vanished.all(axis=(1, 2))
                for row in range(weight.shape[0]):
                    first = row // (weight.shape[0] // groups) * weight.shape[1]
                    expected = met[first : first + weight.shape[1]]
                    np.testing.assert_array_equal(where[row, :, 0, 0], expected)
            else:
                np.testing.assert_array_equal(where, np.broadcast_to(vanished, weight.shape))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (f"{POOL}\n  t = Sigmoid(p)", r"Sigmoid\) gives a value other than 0 for 0"),
        (f"{POOL}\n  t = Softmax<axis=1>(p)", r"Softmax\) reads it"),
        (f"{POOL}\n  m = ReduceMean<axes=[1]>(p)\n  t = Add(p, m)", r"ReduceMean\) mixes channels"),
        (f"{POOL}\n  q = Transpose<perm=[0,1,3,2]>(p)\n  r = Reshape(q, flat)\n  t = Mul(r, r)\n"
         "  v = Gather<axis=1>(p, order)\n  u = Add(p, v)", r"Add\) mixes channels"),
        (f"{POOL}\n  q = Slice(p, zero, four, axis)\n  k = Slice(other, four, six, axis)\n"
         "  v = Concat<axis=1>(q, k)\n  t = Add(p, v)", r"Add\) gives a value other than 0 for 0"),
    ],
)  # fmt: skip
def test_what_mixes_or_does_not_keep_zero_is_named(lines: str, message: str) -> None:
    text = PLAIN.replace(POOL, lines).replace(GEMM, "d = Flatten(t)")
    shapes: Shapes = {
        **PLAIN_SHAPES, "flat": [0, 6, 4, 4], "order": [1, 0, 2, 3, 4, 5], "zero": [0],
        "four": [4], "six": [6], "axis": [1], "other": (2, 6, 4, 4),
    }  # fmt: skip
    model = classifier(text, shapes)
    graph = gs.import_onnx(model)
    with pytest.raises(CannotFollowError, match=message):
        readers_of(graph, graph.tensors()["feature"], 1, shapes_of(model))


def test_positions_of_maxima_are_not_taken_for_values() -> None:
    lines = "p, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)\n  j = Cast<to=1>(i)"
    text = PLAIN.replace(POOL, lines).replace(
        GEMM, "k = Flatten(p)\n  l = Flatten(j)\n  d = Add(k, l)"
    )
    model = classifier(text, dict(PLAIN_SHAPES))
    graph = gs.import_onnx(model)
    with pytest.raises(CannotFollowError, match=r"MaxPool\) gives more than its values"):
        readers_of(graph, graph.tensors()["feature"], 1, shapes_of(model))
