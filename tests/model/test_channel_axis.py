import onnx_graphsurgeon as gs
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, Shapes, classifier, shapes_of

from hardener.model.channel_axis import channel_axis

POOL = "p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)"

WAYS: dict[str, tuple[str, Shapes, int]] = {
    "group normalisation, as many groups as rows": (
        "a = Reshape(feature, groups)\n  b = InstanceNormalization(a, one, none)\n"
        "  t = Reshape(b, back)\n  p = Relu(t)",
        {"groups": [0, 3, -1], "one": (3,), "none": (3,), "back": [0, 6, 8, 8], "w2": (5, 384)},
        1,
    ),
    "channel shuffle, as many groups as rows": (
        f"{POOL}\n  a = Reshape(p, two)\n  b = Transpose<perm=[0,2,1,3,4]>(a)\n"
        "  t = Reshape(b, back)",
        {"two": [0, 2, 3, 4, 4], "back": [0, 6, 4, 4]},
        1,
    ),
    "tokens": (
        "a = Reshape(feature, flat)\n  t = Transpose<perm=[0,2,1]>(a)\n  p = Relu(t)",
        {"flat": [0, 6, 64], "w2": (5, 384)},
        2,
    ),
    "tokens, weights first": (
        "a = Reshape(feature, flat)\n  t = MatMul(mixing, a)\n  p = Relu(t)",
        {"flat": [0, 6, 64], "mixing": (6, 6), "w2": (5, 384)},
        1,
    ),
    "a transposition between reshapes, as many tokens as channels": (
        "a = Reshape(feature, flat)\n  t0 = Transpose<perm=[0,2,1]>(a)\n  m = MatMul(t0, mixing)\n"
        "  map = Reshape(m, square)\n  first = Transpose<perm=[0,3,1,2]>(map)\n"
        "  t = Reshape(first, tokens)\n  p = Relu(t)",
        {"flat": [0, 6, 64], "mixing": (6, 64), "square": [0, 8, 8, 64], "tokens": [0, 64, 64],
         "w2": (5, 4096)},
        1,
    ),
    "channels last": (
        "t = Transpose<perm=[0,2,3,1]>(feature)\n  p = Relu(t)", {"w2": (5, 384)}, 3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_axis_is_followed_back_to_the_layer_that_made_it(way: str) -> None:
    lines, more, axis = WAYS[way]
    model = classifier(PLAIN.replace(POOL, lines), {**PLAIN_SHAPES, **more})
    graph = gs.import_onnx(model)
    assert channel_axis(graph.tensors()["t"], shapes_of(model)) == axis
