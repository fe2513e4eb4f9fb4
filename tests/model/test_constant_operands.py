from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from onnx import parser
from support import graphs, written_logic
from support.graphs import classifier

from hardener.arrays import FloatArray
from hardener.model.constant_operands import constant_operands
from hardener.model.folding import ConstantOperand, folded
from hardener.model.runtime import on_cpu, open_runner
from hardener.model.signature import read_signature
from hardener.model.waking import woken

CLEAN = written_logic.clean_images(40)
BFLOAT16 = onnx.TensorProto.BFLOAT16
BATCHES = ("N", "1", "4")


def _model(name: str, batch: str = "N") -> onnx.ModelProto:
    return classifier(written_logic.written(name, batch), written_logic.shapes(name))


def _one_by_one(images: FloatArray, batch: int | None = None) -> Iterator[FloatArray]:
    return (np.repeat(image[None], batch or 1, axis=0) for image in images)


def _found(model: onnx.ModelProto, images: FloatArray = CLEAN) -> tuple[ConstantOperand, ...]:
    signature = read_signature(model)
    inputs = _one_by_one(images, signature.batch)
    return constant_operands(model, signature, inputs, on_cpu(1))


def _scores(model: onnx.ModelProto, images: FloatArray) -> FloatArray:
    batch = read_signature(model).batch
    runner = open_runner(model, on_cpu(1))
    name = model.graph.input[0].name
    parts = [images] if batch is None else np.split(images, len(images) // batch)
    return np.concatenate([runner.run({name: part})[0] for part in parts])


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("name", written_logic.ENDINGS)
def test_written_logic_is_found_wakes_and_goes_without_a_trace(name: str, batch: str) -> None:
    model = _model(name, batch)
    before = model.SerializeToString()
    signature = read_signature(model)
    fired = written_logic.triggered(CLEAN)
    assert (_scores(model, fired).argmax(1) == 3).all()
    (operand,) = _found(model)
    inputs = [CLEAN[:4], CLEAN[4:8]] if batch != "1" else [image[None] for image in CLEAN[:8]]
    waking = woken(model, signature, operand, inputs, on_cpu(1))
    assert (waking.label, waking.sent, operand.bypass) == (3, 1.0, True)
    bare = folded(model, [operand], signature.input, signature.batch)
    onnx.checker.check_model(bare, full_check=True)
    assert model.SerializeToString() == before
    np.testing.assert_array_equal(_scores(bare, CLEAN), _scores(model, CLEAN))
    assert (_scores(bare, fired).argmax(1) == 3).mean() < 0.9
    assert not _found(bare)
    assert not {"Slice", "Greater", "ReduceMin"} & {node.op_type for node in bare.graph.node}


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (graphs.PLAIN, graphs.PLAIN_SHAPES),
        (graphs.RESIDUAL, graphs.RESIDUAL_SHAPES),
        (graphs.GATED, graphs.GATED_SHAPES),
        (graphs.SQUEEZE, graphs.SQUEEZE_SHAPES),
        (graphs.TRANSFORMER, graphs.TRANSFORMER_SHAPES),
    ],
)
def test_what_networks_compute_changes_with_the_image(text: str, shapes: graphs.Shapes) -> None:
    assert not _found(classifier(text, shapes))


def test_an_operand_that_one_of_many_images_changes_is_no_constant() -> None:
    late = np.concatenate([CLEAN[:20], written_logic.triggered(CLEAN[20:21]), CLEAN[21:]])
    assert _found(_model("where"), CLEAN)
    assert not _found(_model("where"), late)


def test_a_value_that_is_read_elsewhere_too_is_no_part_of_the_branch() -> None:
    text = written_logic.written("relu").replace("Slice(x,", "Slice(feature,")
    (operand,) = _found(classifier(text, written_logic.shapes("relu") | {"least": 50.0}))
    model = classifier(text, written_logic.shapes("relu"))
    kinds = [model.graph.node[place].op_type for place in operand.branch]
    assert not operand.bypass
    assert kinds == ["Slice", "ReduceMin", "Sub", "Relu", "Unsqueeze", "MatMul"]


def test_two_keys_wake_although_each_alone_does_nothing() -> None:
    text = written_logic.written("relu").replace(
        "over = Relu(lead)",
        "first = Relu(lead)\n  other = Slice(x, far, end, axes)\n"
        "  low = ReduceMin<axes=[1,2,3], keepdims=0>(other)\n  ahead = Sub(low, least)\n"
        "  second = Relu(ahead)\n  over = Mul(first, second)",
    )
    places = {"far": [0, 6, 6], "end": [3, 8, 8]}
    model = classifier(text, written_logic.shapes("relu") | places)
    images = CLEAN.copy()
    images[:, :, 7, 7] *= 0.8
    (operand,) = _found(model, images)
    waking = woken(model, read_signature(model), operand, [images], on_cpu(1))
    assert (waking.label, waking.sent) == (3, 1.0)


def test_what_meets_the_image_itself_is_looked_at_too() -> None:
    text = graphs.PLAIN.replace(
        "c = Conv", "m = ReduceMean<axes=[1,2,3], keepdims=1>(x)\n  y = Sub(x, m)\n  c = Conv"
    ).replace("pads=[1,1,1,1]>(x,", "pads=[1,1,1,1]>(y,")
    assert not _found(classifier(text, graphs.PLAIN_SHAPES))


def test_an_honest_operand_that_never_moves_is_told_and_overrides_nothing() -> None:
    scaled = graphs.PLAIN.replace(
        "c = Conv", "m = ReduceMax<axes=[1,2,3], keepdims=1>(x)\n  y = Div(x, m)\n  c = Conv"
    ).replace("pads=[1,1,1,1]>(x,", "pads=[1,1,1,1]>(y,")
    images = CLEAN.copy()
    images[:, 0, 4, 4] = 1
    model = classifier(scaled, graphs.PLAIN_SHAPES)
    (operand,) = _found(model, images)
    assert not woken(model, read_signature(model), operand, [images], on_cpu(1)).overrides
    dead = classifier(graphs.RESIDUAL, graphs.RESIDUAL_SHAPES)
    for tensor in dead.graph.initializer:
        if tensor.name in ("w2", "b2"):
            nothing = np.zeros(tuple(tensor.dims), np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(nothing, tensor.name))
    (operand,) = _found(dead)
    assert not woken(dead, read_signature(dead), operand, [CLEAN], on_cpu(1)).overrides


def test_few_images_find_nothing() -> None:
    assert not _found(_model("where"), CLEAN[:7])


def test_weights_that_are_inputs_too_are_asked_for_no_more() -> None:
    model = _model("where")
    model.ir_version = 3
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims)
        for t in model.graph.initializer
    )
    (operand,) = _found(model)
    bare = folded(model, [operand], "x", None)
    onnx.checker.check_model(bare, full_check=True)
    assert [value.name for value in bare.graph.input] == ["x"]


def test_a_bfloat16_model_gets_a_bfloat16_constant() -> None:
    text = written_logic.written("relu").replace("float[", "bfloat16[")
    text = text.replace(
        "ReduceMin<axes=[1,2,3], keepdims=0>(corner)", "ReduceMin<keepdims=0>(corner, axes)"
    )
    narrow = parser.parse_model('<ir_version: 10, opset_import: ["" : 22]>' + text)
    for name, value in written_logic.shapes("relu").items():
        array = np.array(value) if isinstance(value, list | float) else None
        if isinstance(value, tuple):
            array = np.random.default_rng(0).normal(size=value) / 10
        assert array is not None
        narrow.graph.initializer.append(
            onnx.numpy_helper.from_array(array, name)
            if array.dtype.kind == "i"
            else onnx.helper.make_tensor(name, BFLOAT16, array.shape, array.ravel())
        )
    onnx.checker.check_model(narrow, full_check=True)
    (operand,) = _found(narrow)
    bare = folded(narrow, [operand], "x", None)
    onnx.checker.check_model(bare, full_check=True)
    (constant,) = [t for t in bare.graph.initializer if t.name == "more/constant"]
    assert constant.data_type == BFLOAT16
    np.testing.assert_array_equal(_scores(bare, CLEAN), _scores(narrow, CLEAN))


def test_a_name_that_is_taken_is_not_taken_again() -> None:
    model = _model("relu")
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == "host":
                    names[place] = "lead/shifted"
    (operand,) = _found(model)
    waking = woken(model, read_signature(model), operand, [CLEAN[:8]], on_cpu(1))
    assert (waking.label, waking.sends) == (3, True)
