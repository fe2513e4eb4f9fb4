"""Files from strangers: each is exit code 2 and one line, or told apart from what it fakes."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved

from hardener.cli import run
from hardener.data.images import open_images
from hardener.errors import DataError, ModelError, UsageError
from hardener.files import check_output, check_writable
from hardener.model.signature import read_signature
from hardener.reporting.plain_text import printable
from hardener.triggers.patch import load_trigger

CLOSING = """
classifier (float[N,3,8,8] x) => (float[N,5] scores) {
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  feature = Relu(c)
  p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)
  d = Flatten(p)
  inner = Gemm<transB=1>(d, w2, b2)
  scores = Softmax<axis=AXIS>(inner)
}"""


def test_a_function_that_calls_itself_softmax_is_not_looked_through() -> None:
    model = classifier(CLOSING.replace("AXIS", "1"), dict(PLAIN_SHAPES))
    assert read_signature(model).logits == "inner"
    model.graph.node[-1].domain = "evil"
    model.opset_import.append(onnx.helper.make_opsetid("evil", 1))
    with pytest.raises(ModelError, match=r"Softmax\) is no standard ONNX operator"):
        read_signature(model)


def test_a_softmax_over_the_images_is_not_looked_through() -> None:
    model = classifier(CLOSING.replace("AXIS", "0"), dict(PLAIN_SHAPES))
    assert read_signature(model).logits == "scores"


def test_a_second_head_is_not_chosen_between() -> None:
    text = PLAIN.replace("(float[N,5] logits)", "(float[N,5] logits, float[N,5] decoy)")
    text = text.replace("p = MaxPool", "decoy = Gemm<transB=1>(d, w2, b2)\n  p = MaxPool")
    lines = text.splitlines()
    lines.insert(-1, lines.pop(next(i for i, line in enumerate(lines) if "decoy = " in line)))
    model = classifier("\n".join(lines), dict(PLAIN_SHAPES))
    with pytest.raises(ModelError, match="several outputs could be the class scores"):
        read_signature(model)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX special files")
def test_special_files_and_inputs_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UsageError, match="no regular file"):
        check_writable(tmp_path / "pipe.json")
    (tmp_path / "a.json").write_text("")
    (tmp_path / "b.json").hardlink_to(tmp_path / "a.json")
    with pytest.raises(UsageError, match="is an input itself"):
        check_output(tmp_path / "b.json", ".json", None, tmp_path / "a.json")


def test_a_foreign_json_beside_the_output_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    (tmp_path / "scan.json").write_text("{}")
    output = tmp_path / "scan.onnx"
    assert run(["prune", str(model), "--channels", "1", "-o", str(output)]) == 2
    assert "would be replaced" in capsys.readouterr().err
    assert (tmp_path / "scan.json").read_text() == "{}"
    assert not output.exists()
    other = tmp_path / "h.onnx"
    for _ in range(2):
        assert run(["prune", str(model), "--channels", "1", "-o", str(other)]) == 0


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_that_unpack_without_bounds_are_refused(tmp_path: Path, method: int) -> None:
    for name in ("d.zip", "d.npz"):
        with zipfile.ZipFile(tmp_path / name, "w", method) as archive:
            archive.writestr("0/a.png" if name == "d.zip" else "images.npy", bytes(1000))
        with pytest.raises(DataError, match="neither stored nor deflated"):
            open_images(tmp_path / name)
    with pytest.raises(DataError, match="neither stored nor deflated"):
        load_trigger(tmp_path / "d.npz")


def test_an_array_shorter_than_its_header_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 8, 8, 3)}
    )
    with zipfile.ZipFile(tmp_path / "d.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue())
    with pytest.raises(DataError, match="shorter than its header says"):
        open_images(tmp_path / "d.npz")


def test_postscript_that_calls_itself_png_is_not_interpreted(tmp_path: Path) -> None:
    folder = tmp_path / "d" / "0"
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(folder / "a.png", format="EPS")
    source = open_images(tmp_path / "d")
    with pytest.raises(DataError, match="no picture in a known format"):
        list(source.batches(size=(8, 8), channels=3, batch_size=1))


def test_a_transparent_palette_is_not_flattened_silently(tmp_path: Path) -> None:
    folder = tmp_path / "d" / "0"
    folder.mkdir(parents=True)
    Image.new("P", (8, 8)).save(folder / "a.png", transparency=0)
    with pytest.raises(DataError, match="has 4 channels, the model takes 3"):
        list(open_images(tmp_path / "d").batches(size=(8, 8), channels=3, batch_size=1))


def test_names_can_neither_fake_lines_nor_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    for node in model.graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name == "feature":
                    names[position] = "x[/red]\nverdict: clean\x1b[2J"
    path = saved(model, tmp_path / "m.onnx")
    assert run(["inspect", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\nverdict: clean" not in shown
    assert "x[/red]" in shown
    assert printable("a\x1bb\n") == "a\\x1bb\\n"


def test_an_architecture_that_leaves_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w.pt").write_bytes(b"")
    for code in ("import sys; sys.exit(0)", "1 / 0"):
        (tmp_path / "arch.py").write_text(code)
        arguments = ["export", str(tmp_path / "w.pt"), "--arch", f"{tmp_path / 'arch.py'}:Net"]
        assert run([*arguments, "-o", str(tmp_path / "m.onnx")]) == 2
        assert "cannot import" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_reader_that_has_gone_does_not_change_the_exit_code(tmp_path: Path, form: str) -> None:
    path = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    code = "from hardener.cli import main; main()"
    command = [sys.executable, "-c", code, "inspect", str(path), "--format", form]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_terminal_without_greek_still_gets_the_result(tmp_path: Path) -> None:
    path = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "ℓ.onnx")
    code = "from hardener.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "inspect", str(path)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\\u2113.onnx" in done.stdout
