import sys
import time
from pathlib import Path

import onnx
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, images, saved

from hardener.errors import ExaminationBugError, ModelError
from hardener.model import quarantine
from hardener.model.files import load_model
from hardener.model.observing import observed_shapes
from hardener.model.quarantine import examine, load_untrusted

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")

BOMB = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  size = Constant<value_ints=[1800000000]>()
  huge = ConstantOfShape(size)
  zero = ReduceMin<keepdims=0>(huge)
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  feature = Relu(c)
  p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)
  d = Flatten(p)
  g = Gemm<transB=1>(d, w2, b2)
  logits = Add(g, zero)
}"""
FREE = PLAIN.replace("float[N,3,8,8]", "float[N,3,H,W]").replace("MaxPool<kernel_shape=[2,2], "
    "strides=[2,2]>(feature)", "AveragePool<kernel_shape=[2,2], strides=[2,2]>(q)").replace(
    "  p = ", "  q = Slice(feature, first, last, axes)\n  p = ")  # fmt: skip


def _plain(path: Path) -> Path:
    return saved(classifier(PLAIN, dict(PLAIN_SHAPES)), path)


def test_the_child_sees_what_the_parent_will_read(tmp_path: Path) -> None:
    path = _plain(tmp_path / "m.onnx")
    seen = examine(path)
    model = load_model(path)
    assert seen.sha256 == model.sha256
    assert seen.shapes == observed_shapes(model.proto, {"x": images(2)})
    assert load_untrusted(path).sha256 == seen.sha256
    assert list(tmp_path.iterdir()) == [path]


def test_a_fixed_batch_is_run_as_it_is(tmp_path: Path) -> None:
    text = PLAIN.replace("float[N,", "float[7,")
    path = saved(classifier(text, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    assert examine(path).shapes["feature"] == (7, 6, 8, 8)


def test_a_fixed_batch_that_mixes_its_images_is_refused(tmp_path: Path) -> None:
    text = PLAIN.replace("float[N,", "float[4,").replace(
        "d = Flatten(p)",
        "m = ReduceMean<axes=[0], keepdims=1>(p)\n  q = Sub(p, m)\n  d = Flatten(q)",
    )
    with pytest.raises(ModelError, match="something else of an image alone"):
        examine(saved(classifier(text, dict(PLAIN_SHAPES)), tmp_path / "m.onnx"))


def test_the_size_is_the_graphs_then_the_callers_then_the_metadatas(tmp_path: Path) -> None:
    fixed = _plain(tmp_path / "fixed.onnx")
    assert examine(fixed, (32, 32)).shapes["x"] == (2, 3, 8, 8)
    model = classifier(FREE, {**PLAIN_SHAPES, "first": [0, 0], "last": [8, 8], "axes": [2, 3]})
    onnx.save_model(model, tmp_path / "bare.onnx")
    free = saved(model, tmp_path / "free.onnx")
    assert examine(free).shapes["x"] == (2, 3, 8, 8)
    assert examine(free, (32,)).shapes["x"] == (2, 3, 32, 32)
    assert examine(free, (32, 16)).shapes["x"] == (2, 3, 32, 16)
    assert examine(tmp_path / "bare.onnx").shapes["x"] == (2, 3, 224, 224)
    with pytest.raises(ModelError, match="at most 2048×2048"):
        examine(free, (4096, 4096))


def test_few_bytes_that_ask_for_much_memory_are_refused(tmp_path: Path) -> None:
    path = saved(classifier(BOMB, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"(?i)alloc"):
        load_untrusted(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200 << 10
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 5 << 20


def test_a_tensor_that_fits_here_but_not_in_a_batch_is_refused(tmp_path: Path) -> None:
    text = BOMB.replace("1800000000", "300000000")
    path = saved(classifier(text, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="'huge' holds 300000000 values"):
        examine(path)


def test_very_many_nodes_are_refused(tmp_path: Path) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    last = model.graph.node.pop()
    names = [f"d{number}" for number in range(20_001)]
    for source, target in zip(["d", *names], names, strict=False):
        model.graph.node.append(onnx.helper.make_node("Identity", [source], [target]))
    last.input[0] = names[-1]
    model.graph.node.append(last)
    with pytest.raises(ModelError, match="at most 20000 are supported"):
        load_untrusted(saved(model, tmp_path / "m.onnx"))


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os; os.kill(os.getpid(), 11)", r"crashed onnx or onnxruntime \(SIGSEGV\)"),
        ("import os; os.abort()", r"crashed onnx or onnxruntime \(SIGABRT\)"),
        ("import os; os._exit(3)", "left with code 3 and no answer"),
        ("print('[' * 100000)", "left with code 0 and no answer"),
        (
            "import hardener.model.quarantine as q\n"
            "def examine_here(*_): raise KeyError('axis')\n"
            "q.examine_here = examine_here; q.serve(sys.argv[2])",
            "KeyError: 'axis'; that is a bug in harden",
        ),
        ("print('[]')", "left with code 0 and no answer"),
        ('print(\'{"error": "nonsense", "message": ""}\')', "code 0 and no answer"),
        (
            "import hardener.model.quarantine as q; q._BASE_SECONDS = 1; q._limit_to(0)\n"
            "while True: pass",
            "took too long",
        ),
        (
            "import hardener.model.quarantine as q, time\n"
            "q._BASE_SECONDS = q._SECONDS_OF_WAITING = 1; q._limit_to(0); time.sleep(60)",
            "took too long",
        ),
    ],
)
def test_however_the_child_ends_it_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, message: str
) -> None:
    path = _plain(tmp_path / "m.onnx")
    start = "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
    monkeypatch.setattr(quarantine, "_START", start + program)
    started = time.monotonic()
    with pytest.raises(ModelError, match=message):
        load_untrusted(path)
    assert time.monotonic() - started < 30


def test_the_child_can_neither_write_nor_outgrow_its_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1])\n"
        "import hardener.model.quarantine as q; q._limit_to(0)\n"
        "from pathlib import Path; found = []\n"
        "try: Path('written').write_bytes(b'x')\n"
        "except OSError: found.append('file')\n"
        "try: bytes(5 << 30)\n"
        "except MemoryError: found.append('memory')\n"
        "print(json.dumps({'error': 'ModelError', 'message': ' '.join(found)}))"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quarantine, "_START", program)
    with pytest.raises(ModelError, match=r"^file memory$"):
        examine(tmp_path / "m.onnx")


def test_what_native_code_prints_does_not_disturb_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import json, os, sys; sys.path[:] = json.loads(sys.argv[1]); print('before')\n"
        "import hardener.model.quarantine as q; real = q.load_model\n"
        "def printing(path): os.write(1, b'within'); return real(path)\n"
        "q.load_model = printing; q.serve(sys.argv[2])"
    )
    monkeypatch.setattr(quarantine, "_START", program)
    assert examine(_plain(tmp_path / "m.onnx")).shapes["x"] == (2, 3, 8, 8)


def test_large_weights_are_no_large_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "_LARGEST_TENSOR", 800)
    path = _plain(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="holds 768 values"):
        monkeypatch.setattr(quarantine, "_LARGEST_TENSOR", 767)
        quarantine.examine_here(path)
    model = classifier(PLAIN.replace("Gemm<transB=1>(d, w2, b2)", "Add(e, z)").replace(
        "logits = Add", "e = MatMul(d, w3)\n  z = ReduceSum<keepdims=0>(w4)\n  logits = Add"),
        {"w1": (6, 3, 3, 3), "b1": (6,), "w3": (96, 5), "w4": (769,)})  # fmt: skip
    monkeypatch.setattr(quarantine, "_LARGEST_TENSOR", 768)
    quarantine.examine_here(saved(model, tmp_path / "w.onnx"))


def test_a_model_that_changes_after_the_examination_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _plain(tmp_path / "m.onnx")
    other = saved(classifier(PLAIN, dict(PLAIN_SHAPES), seed=1), tmp_path / "other.onnx")

    def then_swapped(*arguments: Path) -> quarantine.Examination:
        seen = examine(arguments[0])
        other.replace(path)
        return seen

    monkeypatch.setattr(quarantine, "examine", then_swapped)
    with pytest.raises(ModelError, match="changed while it was read"):
        load_untrusted(path)


def test_a_type_that_is_only_declared_is_refused(tmp_path: Path) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.BFLOAT16
    onnx.save_model(model, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="Type Error"):
        examine(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (KeyError("axis"), ExaminationBugError),
        (IndexError("list index out of range"), ExaminationBugError),
        (MemoryError(), ModelError),
        (OSError("File name too long"), ModelError),
        (ModelError("no outputs"), ModelError),
    ],
)
def test_an_exception_that_nobody_foresaw_is_called_a_bug(
    raised: Exception, expected: type[Exception]
) -> None:
    refused = quarantine.refusal(Path("m.onnx"), raised)
    assert type(refused) is expected
    assert ("a bug in harden" in str(refused)) == (expected is ExaminationBugError)
