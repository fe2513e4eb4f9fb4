import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier

from hardener.errors import ModelError
from hardener.model.fixed_sizes import require_fixed_sizes

HEAD = "classifier (float[N,3,8,8] x) => (float[N,5] logits) {\n"
TAIL = "\n  logits = MatMul(f, w)\n}"


def _model(body: str) -> onnx.ModelProto:
    text = HEAD + body.replace("; ", "\n") + TAIL
    return onnx.parser.parse_model('<ir_version: 10, opset_import: ["" : 17]>' + text)


FROM_PIXELS = "p = ReduceMax<keepdims=0>(x); i = Cast<to=7>(p); one = Constant<value_ints=[1]>(); "
FROM_PIXELS += "v = Reshape(i, one); "


@pytest.mark.parametrize(
    ("operator", "body"),
    [
        ("ConstantOfShape", "f = ConstantOfShape(v)"),
        ("Expand", "f = Expand(x, v)"),
        ("Tile", "f = Tile(x, v)"),
        ("Range", "f = Range(p, p, p)"),
        ("Resize", "f = Resize(x, , , v)"),
        ("Pad", "f = Pad(x, v)"),
        ("OneHot", "f = OneHot(one, v, x)"),
        ("NonZero", "f = NonZero(x)"),
        ("Unique", "f = Unique(x)"),
        ("TopK", "f, g = TopK(x, v)"),
        ("Slice", "f = Slice(x, one, v)"),
        ("Reshape", "f = Reshape(x, v)"),
        ("Compress", "c = Cast<to=9>(x); f = Compress(x, c)"),
        ("ReduceSum", "f = ReduceSum(x, v)"),
    ],
)  # fmt: skip
def test_sizes_that_pixels_decide_are_refused(operator: str, body: str) -> None:
    with pytest.raises(ModelError, match=rf"\({operator}\) takes a size from"):
        require_fixed_sizes(_model(FROM_PIXELS + body))


def test_an_operator_of_onnxruntime_that_nothing_is_known_of_is_refused() -> None:
    model = _model("f = Flatten(x)")
    inputs = ["x", "rois", "which", "x"]
    model.graph.node.insert(
        0, onnx.helper.make_node("CropAndResize", inputs, ["g"], "crop", domain="com.microsoft")
    )
    with pytest.raises(ModelError, match=r"'crop' \(com.microsoft::CropAndResize\) is not among"):
        require_fixed_sizes(model)


@pytest.mark.parametrize(
    "body",
    [
        "r = RandomNormalLike(x); m = Add(x, r); f = Flatten(m)",
        "k = Constant<value=bool {1}>(); h = Constant<value=float {0.5}>(); m = Dropout(x, h, k); "
        "f = Flatten(m)",
    ],
)
def test_what_is_random_is_refused(body: str) -> None:
    with pytest.raises(ModelError, match=r"\((RandomNormalLike|Dropout)\) is random"):
        require_fixed_sizes(_model(body))


@pytest.mark.parametrize("operator", ["If", "Loop"])
def test_loops_and_branches_are_refused(operator: str) -> None:
    model = _model("f = Flatten(x)")
    body = onnx.parser.parse_graph("b (int64 i, bool go) => (bool on) { on = Identity(go) }")
    node = onnx.helper.make_node(operator, ["", ""], [], name="forever")
    node.attribute.append(onnx.helper.make_attribute("body", body))
    model.graph.node.insert(0, node)
    with pytest.raises(ModelError, match=rf"'forever' \({operator}\) .*loops and branches are not"):
        require_fixed_sizes(model)


def test_a_function_cannot_hide_a_size() -> None:
    text = (
        '<ir_version: 10, opset_import: ["" : 17, "own" : 1]>'
        "g (float[N,3,8,8] x) => (float[N] y) { y = own.grow(x) }\n"
        '<domain: "own", opset_import: ["" : 17]> grow (a) => (b) '
        "{ c = Cast<to=7>(a)\n b = ConstantOfShape(c) }"
    )
    with pytest.raises(ModelError, match=r"\(ConstantOfShape\) takes a size"):
        require_fixed_sizes(onnx.parser.parse_model(text))


@pytest.mark.parametrize(
    "body",
    [
        "s = Shape(x); c = ConstantOfShape(s); m = Add(x, c); f = Flatten(m)",
        "s = Shape<start=0, end=1>(x); k = Constant<value_ints=[-1]>(); t = Concat<axis=0>(s, k); "
        "f = Reshape(x, t)",
        "k = Constant<value=bool {0}>(); h = Constant<value=float {0.5}>(); m = Dropout(x, h, k); "
        "f = Flatten(m)",
        "k = Constant<value_ints=[1,0,2]>(); z = NonZero(k); s = Shape(z); e = Expand(x, s); "
        "f = Flatten(e)",
    ],
)
def test_sizes_from_shapes_and_constants_pass(body: str) -> None:
    require_fixed_sizes(_model(body))


def test_weights_that_are_inputs_too_are_no_pixels() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    value = onnx.helper.make_tensor_value_info("b1", onnx.TensorProto.FLOAT, [6])
    model.graph.input.append(value)
    model.graph.node.insert(0, onnx.helper.make_node("NonZero", ["b1"], ["where"]))
    require_fixed_sizes(model)
