"""What a terminal, a pipe and a log get of the same documents."""

import codecs
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.documents import some_bench, some_prune, some_repair
from support.scans import some_scan

from hardener.documents.document import Document
from hardener.documents.scan import ScanResult

if sys.platform != "win32":
    import pty
    import termios

REASONS = (
    "label 0 has the most suspicious trigger: 4.1 pixels, 0.06 of the median, anomaly index 4.1, "
    "and it sends 92% of unseen images there",
    "an additive trigger has an ℓ2 norm of 3.41 → and a second sentence of more than eighty words",
)
PROGRAM = """
import importlib, sys
from pathlib import Path
from hardener import documents
from hardener.cli.console import print_lines
kind, path, *more = sys.argv[1:]
command = importlib.import_module("hardener.cli.commands." + kind.removesuffix("Result").lower())
print_lines([*command.summary(getattr(documents, kind).read(Path(path))), *more])
"""
NEXT = "next: harden repair 'my model.onnx' --scan s --data " + "d" * 90
PROGRESS = [
    sys.executable,
    "-c",
    """
import time
from hardener.cli import console
console._SECONDS_BETWEEN_LINES = 0
with console.progress_bars(quiet=False) as progress:
    for done in range(3):
        progress("searching", done, 2)
        time.sleep(0.2)
""",
]
ASIDE = [
    sys.executable,
    "-c",
    """
import time
from hardener.cli.console import print_lines, progress_bars
with progress_bars(quiet=False) as progress:
    for stage in ("searching", "measuring"):
        for part in ("first", "second", "third"):
            progress(f"{stage} {part}", 1, 2)
        time.sleep(0.3)
        with progress.set_aside():
            print_lines(["", f"verdict of {stage}"])
""",
]
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)(?:;\d+)*m")
ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")


def _command(document: Document, folder: Path) -> list[str]:
    path = folder / "document.json"
    document.write(path)
    return [sys.executable, "-c", PROGRAM, type(document).__name__, str(path), NEXT]


def _environment(**more: str) -> dict[str, str]:
    decisive = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TERM", "TTY_COMPATIBLE")
    kept = {name: value for name, value in os.environ.items() if name not in decisive}
    return {**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **more}


def _piped(document: Document, folder: Path, **more: str) -> str:
    done = subprocess.run(
        _command(document, folder), env=_environment(**more), stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode("utf-8")


def _on_terminal(document: Document, folder: Path, columns: int, **more: str) -> str:
    """What a pseudo-terminal of that width gets of a result."""
    return _terminal(_command(document, folder), columns, **more)


def _terminal(command: list[str], columns: int, **more: str) -> str:
    """What a command writes on a pseudo-terminal, on standard output and standard error."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    decoder = codecs.getincrementaldecoder("utf-8")()
    shown = ""
    with subprocess.Popen(
        command, env=_environment(**more), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        while True:
            try:
                content = os.read(ours, 1 << 16)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not content:
                break
            shown += decoder.decode(content)
    os.close(ours)
    assert process.returncode == 0
    return shown.replace("\r\n", "\n")


def _scan() -> ScanResult:
    return some_scan(12, reasons=REASONS)


def _plain(shown: str) -> list[str]:
    return [line.rstrip() for line in ESCAPE.sub("", shown).splitlines()]


DOCUMENTS = {
    "scan": _scan(),
    "repair": some_repair(),
    "prune": some_prune(),
    "bench": some_bench("a/model.onnx", "a/hardened.onnx"),
}


@on_posix
@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_everything_but_what_is_copied_fits(name: str, columns: int, tmp_path: Path) -> None:
    *lines, last = _plain(_on_terminal(DOCUMENTS[name], tmp_path, columns))
    assert last == NEXT
    copied = [line for line in lines if line.startswith("wrote ")]
    assert max(len(line) for line in lines if line not in copied) <= min(columns, 100)
    assert "…" not in "".join(lines)


@on_posix
@pytest.mark.parametrize("name", DOCUMENTS)
def test_tables_are_the_same_at_80_columns_as_without_a_limit(name: str, tmp_path: Path) -> None:
    """Nothing is wrapped or squeezed in a cell."""
    tables = [
        [line for line in _plain(shown) if "  " in line.strip()]
        for shown in (_on_terminal(DOCUMENTS[name], tmp_path, columns) for columns in (80, 200))
    ]
    assert len(tables[0]) > 3
    assert tables[0] == tables[1]


@on_posix
def test_sentences_go_on_below_their_words(tmp_path: Path) -> None:
    lines = _plain(_on_terminal(_scan(), tmp_path, 60))
    first = lines.index("- label 0 has the most suspicious trigger: 4.1 pixels, 0.06")
    assert lines[first + 1].startswith("  of the median, anomaly index 4.1")


@on_posix
def test_colour_is_for_terminals_that_want_it(tmp_path: Path) -> None:
    assert "\x1b[1;31mbackdoored\x1b[0m, target label 0" in _on_terminal(_scan(), tmp_path, 80)
    for more in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        shown = _on_terminal(_scan(), tmp_path, 80, **more)
        assert not COLOUR.search(shown)
        assert "verdict: backdoored, target label 0" in ESCAPE.sub("", shown)
    assert "\x1b" not in _on_terminal(_scan(), tmp_path, 80, TERM="dumb")
    assert "\x1b[1;32mclean" in _on_terminal(
        some_scan(12, verdict="clean", targets=()), tmp_path, 80
    )


def test_a_pipe_gets_no_colour_and_every_sentence_on_one_line(tmp_path: Path) -> None:
    shown = _piped(_scan(), tmp_path)
    assert "\x1b" not in shown
    lines = shown.splitlines()
    assert f"- {REASONS[0]}" in lines
    assert f"- {REASONS[1]}" in lines
    assert lines[-1] == NEXT
    assert lines[-2].startswith("verdict: backdoored, target label 0 (score 0.90, accuracy 90.00 %")
    assert lines[-3] == ""
    assert "\x1b[1;31mbackdoored" in _piped(_scan(), tmp_path, FORCE_COLOR="1")


@on_posix
def test_the_width_of_a_pipe_is_not_that_of_a_terminal_nearby(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 40))
    document = DOCUMENTS["bench"]
    found = {}
    for name, more in (("fixed", {}), ("asked for", {"COLUMNS": "40"})):
        done = subprocess.run(
            _command(document, tmp_path),
            env=_environment(**more),
            stdin=theirs,
            stdout=subprocess.PIPE,
            check=True,
        )
        found[name] = done.stdout.decode()
    os.close(theirs)
    os.close(ours)
    assert re.search(r"^model +batch +p50", found["fixed"], re.MULTILINE)
    assert "- model model.onnx, batch 256, p50 190.10" in " ".join(found["asked for"].split())


def test_without_unicode_frames_bars_and_words_of_ours_are_ascii(tmp_path: Path) -> None:
    shown = _piped(_scan(), tmp_path, PYTHONIOENCODING="ascii")
    assert shown.isascii()
    assert "an l2 norm of 3.41 -> and" in shown
    assert "|---------- |" in shown
    assert "━━━━━━━━━━" in _piped(_scan(), tmp_path)


@on_posix
def test_progress_moves_on_terminals_only() -> None:
    assert "━" in _terminal(PROGRESS, 80)
    for shown in (
        _terminal(PROGRESS, 80, TERM="dumb"),
        subprocess.run(
            PROGRESS, env=_environment(FORCE_COLOR="1"), stderr=subprocess.PIPE, check=True
        ).stderr.decode(),
    ):
        assert shown.splitlines() == ["searching: 50%", "searching: 100%"]
    bars = _terminal(PROGRESS, 80, PYTHONIOENCODING="ascii:backslashreplace")
    assert "searching" in bars
    assert "\\u" not in bars


@on_posix
def test_bars_erase_nothing_that_was_printed_meanwhile() -> None:
    shown = _terminal(ASIDE, 80)
    for stage in ("searching", "measuring"):
        before, _, after = shown.partition(f"verdict of {stage}\n")
        # Removed first, by moving up to it and erasing the line.
        assert re.search(r"\x1b\[1A\x1b\[2K\n$", before)
        assert stage not in after
        # Then nothing moves up before there are new bars to move over.
        assert "\x1b[1A" not in after.partition("measuring")[0]
    done = subprocess.run(ASIDE, env=_environment(), capture_output=True, check=True)
    assert done.stdout.decode().split("\n") == [
        *("", "verdict of searching", "", "verdict of measuring", "")
    ]


def test_names_are_no_pictures(tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    _scan().write(path)
    command = [sys.executable, "-c", PROGRAM, "ScanResult", str(path), "wrote :smile:.onnx"]
    shown = subprocess.run(command, stdout=subprocess.PIPE, env=_environment(), check=True).stdout
    assert shown.endswith(b"wrote :smile:.onnx\n")
