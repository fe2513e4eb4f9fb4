"""Files that are no files, disks that are full, outputs nobody reads, signals: one line each."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved

from hardener.cli import run
from hardener.data.images import open_images
from hardener.errors import DataError, UsageError
from hardener.files import read_regular, write_pair

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files and signals")
HARDEN = [sys.executable, "-c", "from hardener.entry import main; main()"]


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    """Ends a test that waits for a pipe instead of letting it hang."""

    def stop(_number: int, _frame: object) -> None:
        raise TimeoutError

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")


def _one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1, captured.err
    assert "Traceback" not in captured.err
    assert "a bug in harden" not in captured.err
    return captured.err


COMMANDS = {
    "model": ("inspect", "SPECIAL.onnx"),
    "images as csv": ("scan", "MODEL", "--data", "SPECIAL.csv", "-o", "OUT"),
    "images as npz": ("scan", "MODEL", "--data", "SPECIAL.npz", "-o", "OUT"),
    "images as zip": ("scan", "MODEL", "--data", "SPECIAL.zip", "-o", "OUT"),
    "policy": ("scan", "MODEL", "--data", "D", "-o", "OUT", "--policy", "SPECIAL.toml"),
    "trigger": ("bench", "MODEL", "--data", "D", "-o", "OUT.json", "--trigger", "SPECIAL.npz"),
    "scan": ("prune", "MODEL", "--scan", "S", "--data", "D", "-o", "OUT.onnx"),
    "checkpoint": ("export", "SPECIAL.pt", "--arch", "torch.nn:Identity", "-o", "OUT.onnx"),
    "class names": (
        *("export", "w.pt", "--arch", "torch.nn:Identity", "-o", "OUT.onnx"),
        *("--class-names", "SPECIAL.txt"),
    ),
    "output": ("prune", "MODEL", "--channels", "1", "-o", "SPECIAL.onnx"),
}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_regular_file_is_refused(
    name: str,
    kind: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    word = next((word for word in COMMANDS[name] if word.startswith("SPECIAL")), "S/scan.json")
    special = tmp_path / word
    special.parent.mkdir(exist_ok=True)
    if kind == "pipe":
        os.mkfifo(special)
    elif kind == "device":
        special.symlink_to("/dev/zero")
    else:
        special.mkdir()
    (tmp_path / "D" / "0").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    assert run([str(model) if word == "MODEL" else word for word in COMMANDS[name]]) == 2
    _one_line(capsys)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_pipe_among_the_pictures_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    os.mkfifo(tmp_path / "0" / "a.png")
    with pytest.raises(DataError, match="holds no pictures"):
        open_images(tmp_path)
    (tmp_path / "d.csv").write_text("0/a.png,0\n")
    source = open_images(tmp_path / "d.csv")
    with pytest.raises(DataError, match="no regular file"):
        list(source.batches(size=(4, 4), channels=3, batch_size=1))


@pytest.mark.parametrize("name", ["a" * 300, "/".join(["a" * 200] * 40), "nul\0", "\ud800"])
@pytest.mark.parametrize("command", COMMANDS)
def test_names_that_no_file_can_have_are_refused(
    command: str,
    name: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if command == "output" and name == "\ud800":
        pytest.skip("a file may be called so")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "D" / "0").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    words = [
        str(model) if word == "MODEL" else word.replace("SPECIAL", name)
        for word in COMMANDS[command]
    ]
    assert run([name if word == "S" else word for word in words]) == 2
    _one_line(capsys)
    assert sorted(tmp_path.rglob("*")) == before


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(100))
    assert read_regular(tmp_path / "f", 100) == bytes(100)
    with pytest.raises(OSError, match="over 0 MiB"):
        read_regular(tmp_path / "f", 99)


@pytest.mark.parametrize("folder", ["/proc", "/proc/none/deeper", "/dev/null/x", "m.onnx/x"])
def test_a_folder_that_cannot_be_written_is_named(
    folder: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["prune", str(model), "--channels", "1", "-o", f"{folder}/h.onnx"]) == 2
    assert "cannot write" in _one_line(capsys)


def _prune(model: Path, output: Path, **more: object) -> subprocess.CompletedProcess[str]:
    command = [*HARDEN, "prune", str(model), "--channels", "1", "-o", str(output)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.6, 0.99])
def test_a_disk_that_fills_up_leaves_the_old_files(
    model: Path, tmp_path: Path, fraction: float
) -> None:
    resource = pytest.importorskip("resource")
    output = tmp_path / "out" / "h.onnx"
    assert _prune(model, output).returncode == 0
    old = {path: path.read_bytes() for path in output.parent.iterdir()}
    limit = int(fraction * max(map(len, old.values())))
    saved(classifier(PLAIN, dict(PLAIN_SHAPES), seed=1), model)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = _prune(model, output, preexec_fn=full)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "cannot write" in done.stderr
    assert {path: path.read_bytes() for path in output.parent.iterdir()} == old


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_standard_output_is_said(model: Path, form: str) -> None:
    command = [*HARDEN, "inspect", str(model), "--format", form]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "harden: standard output cannot be written: No space left on device\n"


def test_a_full_standard_error_does_not_change_the_exit_code(model: Path) -> None:
    with Path("/dev/full").open("w") as full:
        for command, code in (("inspect", 0), ("nonsense", 2)):
            arguments = [*HARDEN, command, str(model)]
            done = subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=full, check=False)
            assert done.returncode == code


def test_sigterm_is_said_in_one_line(signs_victim: Path, signs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    command = [*HARDEN, "scan", str(signs_victim), "--data", str(signs), "-o", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(5)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert errors.splitlines()[-1] == "harden: terminated; files are as they were or whole"
    assert "Traceback" not in errors
    assert not folder.exists()


def test_a_terminated_writer_leaves_no_temporary_file(tmp_path: Path) -> None:
    program = (
        "import signal, sys, time; from pathlib import Path; from hardener.cli import running\n"
        "from hardener.files import atomic_path\n"
        "signal.signal(signal.SIGTERM, running._leave_cleanly)\n"
        "with atomic_path(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); print('writing', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "f")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, len(errors.splitlines())) == (143, 1)
    assert list(tmp_path.iterdir()) == []


PAIRS = """
import os, sys
from pathlib import Path
from hardener.files import write_pair

left = int(sys.argv[2])

def dying(method):
    def counted(*arguments, **keywords):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
        return method(*arguments, **keywords)
    return counted

Path.replace, Path.unlink = dying(Path.replace), dying(Path.unlink)
write_pair(Path(sys.argv[1]) / "m", b"new", Path(sys.argv[1]) / "m.json", "new")
"""


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
def test_a_pair_of_files_never_disagrees(tmp_path: Path, step: int) -> None:
    write_pair(tmp_path / "m", b"old", tmp_path / "m.json", "old")
    command = [sys.executable, "-c", PAIRS, str(tmp_path), str(step)]
    done = subprocess.run(command, check=False)
    found = tuple(
        p.read_text() if p.exists() else "" for p in (tmp_path / "m", tmp_path / "m.json")
    )
    expected = [("old", "old"), ("old", ""), ("new", ""), ("new", "new"), ("new", "new")]
    assert (done.returncode, found) == ((-9, expected[step - 1]) if step < 6 else (0, expected[-1]))


def test_a_pair_that_cannot_be_written_leaves_both(tmp_path: Path) -> None:
    write_pair(tmp_path / "m", b"old", tmp_path / "m.json", "old")
    with pytest.raises(UsageError, match="cannot write"):
        write_pair(tmp_path / "m", b"new", tmp_path / "m" / "x.json", "new")
    assert (tmp_path / "m").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.json"]


def test_images_that_change_while_they_are_read_have_no_digest(tmp_path: Path, signs: Path) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(signs.read_bytes())
    source = open_images(path)
    assert source.sha256()
    os.utime(path, ns=(0, 0))
    with pytest.raises(DataError, match="changed while it was read"):
        source.sha256()
