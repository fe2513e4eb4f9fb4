import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hardener.errors import UsageError
from hardener.files import atomic_path, check_writable, sha256_of, write_text

SLOW_WRITER = """
import signal, sys, time
from pathlib import Path
from hardener.files import atomic_path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
with atomic_path(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "file.txt"
    write_text(target, "whole")
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_an_exception_leaves_the_old_file_and_no_leftovers(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_path(target) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_writer_leaves_the_old_file(tmp_path: Path, number: signal.Signals) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with subprocess.Popen(
        [sys.executable, "-c", SLOW_WRITER, str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.send_signal(number)
        writer.wait(timeout=30)
    assert target.read_text() == "old"


BUSY_WRITER = """
import sys
from pathlib import Path
from hardener.files import write_bytes
print("writing", flush=True)
while True:
    for letter in (b"a", b"b"):
        write_bytes(Path(sys.argv[1]), letter * 3_000_000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("milliseconds", [3, 7, 11, 16, 23, 31, 42, 57])
def test_a_writer_killed_anywhere_leaves_no_mixture(tmp_path: Path, milliseconds: int) -> None:
    target = tmp_path / "file.bin"
    target.write_bytes(b"a" * 3_000_000)
    command = [sys.executable, "-c", BUSY_WRITER, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        time.sleep(milliseconds / 1000)
        writer.kill()
    content = target.read_bytes()
    assert len(content) == 3_000_000
    assert len(set(content)) == 1


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "text")
    finally:
        os.umask(old)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        check_writable(tmp_path)


def test_a_file_for_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_text(tmp_path / "file" / "inside.txt", "text")


def test_digests_are_those_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea")


def test_a_name_that_leaves_no_room_for_a_temporary_one_is_refused_before_long_work(
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=r"cannot write .* too long"):
        check_writable(tmp_path / f"{'n' * 245}.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that even root cannot write")
def test_a_folder_that_cannot_be_written_is_refused_before_long_work() -> None:
    with pytest.raises(UsageError, match=r"cannot write /proc/result\.json"):
        check_writable(Path("/proc/result.json"))


def test_looking_whether_a_file_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new folder" / "file.txt")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_link_to_nothing_is_refused_before_long_work(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for target in (tmp_path / "link", tmp_path / "link" / "scan.json"):
        with pytest.raises(UsageError, match="link is a link to nothing"):
            check_writable(target)
