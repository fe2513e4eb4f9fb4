import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, SQUEEZE, SQUEEZE_SHAPES, Shapes, classifier

from hardener.errors import ModelError
from hardener.model.signature import Signature, read_signature


def test_input_and_output_are_read() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    assert read_signature(model) == Signature("x", 3, (8, 8), "logits", "logits", 5, None)


def test_a_closing_softmax_is_looked_through() -> None:
    signature = read_signature(classifier(SQUEEZE, dict(SQUEEZE_SHAPES)))
    assert (signature.output, signature.logits) == ("probabilities", "d")


def test_weights_that_are_graph_inputs_too_are_no_images() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("w1", onnx.TensorProto.FLOAT, [6, 3, 3, 3])
    )
    assert read_signature(model).input == "x"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("float[N,3,8,8] x", "float[N,2,8,8] x", "neither .* is 1 or 3 channels"),
        ("float[N,3,8,8] x", "float[N,24] x", r"not \(N, C, H, W\)"),
        ("float[N,3,8,8] x", "uint8[N,3,8,8] x", "UINT8; only float32"),
        ("float[N,3,8,8] x", "float[N,3,8,8] x, float[N] y", "takes 2 inputs"),
        ("float[N,5] logits", "float[N,5,1] logits", r"no output has shape \(N, classes\)"),
    ],
)
def test_what_is_no_classifier_is_refused(old: str, new: str, message: str) -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 17]>' + PLAIN.replace(old, new)
    )
    with pytest.raises(ModelError, match=message):
        read_signature(model)


def test_names_that_the_tool_keeps_for_itself_are_refused() -> None:
    text = PLAIN.replace("feature", "hardener_keep")
    with pytest.raises(ModelError, match="names that begin with 'hardener_' are kept"):
        read_signature(classifier(text, dict(PLAIN_SHAPES)))


@pytest.mark.parametrize(
    ("form", "node"),
    [("N", "ReduceMax<axes=[1], keepdims=0>(d)"), ("N,5", "Gemm<transB=1>(d, w3)")],
)
def test_an_alarm_is_no_class_score(form: str, node: str) -> None:
    alarm = f"float[{form}] hardener_alarm"
    text = PLAIN.replace("d = Flatten(p)", f"d = Flatten(p)\n  hardener_alarm = {node}")
    shapes: Shapes = {**PLAIN_SHAPES, "w3": (5, 96)}
    beside = text.replace("float[N,5] logits", f"{alarm}, float[N,5] logits")
    signature = read_signature(classifier(beside, shapes))
    assert (signature.output, signature.classes) == ("logits", 5)
    assert signature.notes == (
        "'hardener_alarm' is taken as a guard's count of zeroed channels and not looked at",
    )
    with pytest.raises(ModelError, match="no output has shape"):
        read_signature(classifier(text.replace("float[N,5] logits", alarm), shapes))


@pytest.mark.parametrize(
    ("ending", "logits", "notes"),
    [("Softmax<axis=1>", "g", 0), ("Sigmoid", "g", 1), ("Cast<to=1>", "g", 0)],
)
def test_what_an_ending_hides_is_noted(ending: str, logits: str, notes: int) -> None:
    text = PLAIN.replace("logits = Gemm<transB=1>(d, w2, b2)",
                         f"g = Gemm<transB=1>(d, w2, b2)\n  logits = {ending}(g)")  # fmt: skip
    signature = read_signature(classifier(text, dict(PLAIN_SHAPES)))
    assert signature.logits == logits
    assert len(signature.notes) == notes


def test_a_cast_that_may_overflow_is_no_ending() -> None:
    text = PLAIN.replace("float[N,5] logits", "float16[N,5] logits").replace(
        "logits = Gemm<transB=1>(d, w2, b2)",
        "g = Gemm<transB=1>(d, w2, b2)\n  logits = Cast<to=10>(g)",
    )
    assert read_signature(classifier(text, dict(PLAIN_SHAPES))).logits == "logits"


def test_types_that_contradict_each_other_are_refused() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    weight = model.graph.initializer[0]
    other = onnx.helper.make_tensor_value_info(weight.name, onnx.TensorProto.UINT32, weight.dims)
    model.graph.value_info.append(other)
    with pytest.raises(ModelError, match="declares types that contradict each other"):
        read_signature(model)
