"""Files appear whole or not at all, and are named by their digest."""

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias, TypedDict

from hardener.errors import DataError, UsageError

_CHUNK_BYTES = 1 << 20

FileName: TypeAlias = str | os.PathLike[str]
"""What callers may name a file or folder by."""


def check_writable(target: Path) -> None:
    """Makes sure, before long work, that a file could be written.

    Raises:
        UsageError: it is a folder, or nothing can be written where it shall lie.
    """
    try:
        if target.is_dir():
            raise UsageError(f"{target} is a folder: name a file to write")
        if target.exists() and not target.is_file():
            raise UsageError(f"{target} is no regular file: name another one")
        for path in (target, *target.absolute().parents):
            if path.is_symlink() and not path.exists():
                raise UsageError(f"cannot write {target}: {path} is a link to nothing")
        folder = next(parent for parent in target.absolute().parents if parent.exists())
        if not folder.is_dir():
            raise UsageError(f"cannot write {target}: {folder} is no folder")
        # Permissions alone do not tell: a file system may be read-only, a name too long.
        with tempfile.NamedTemporaryFile(dir=folder, **_names_beside(target)):
            pass
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {target}: {reason(error)}") from error


def check_output(output: Path, suffix: str, *inputs: Path | None) -> None:
    """Makes sure, before long work, that a result can go by that name.

    Args:
        output: the file to write.
        suffix: what its name must end in.
        inputs: files that are read and must not be replaced.

    Raises:
        UsageError: the name ends in something else, is an input, or cannot be written.
    """
    if output.suffix.lower() != suffix:
        raise UsageError(f"{output}: the name of the file to write ends in {suffix}")
    for path in inputs:
        if path is not None and (
            output.resolve() == path.resolve()
            or (output.exists() and path.exists() and output.samefile(path))
        ):
            raise UsageError(f"{output} is an input itself: give the result another name")
    check_writable(output)


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yields a temporary path beside `target` that replaces it when the block succeeds.

    A crash, an exception or a kill inside the block leaves `target` as it was.

    Args:
        target: the file to create or replace; its folder is made when missing.

    Raises:
        UsageError: the folder cannot be made or written.
    """
    check_writable(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, **_names_beside(target))
    except OSError as error:
        raise UsageError(f"cannot write {target}: {reason(error)}") from error
    os.close(handle)
    partial = Path(name)
    try:
        partial.chmod(0o666 & ~_umask())
        yield partial
        if partial.exists():
            _to_disk(partial)
            partial.replace(target)
    except OSError as error:
        raise UsageError(f"cannot write {target}: {reason(error)}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_bytes(target: Path, content: bytes) -> None:
    """Writes `content` to `target` through a temporary file and a rename."""
    with atomic_path(target) as partial:
        partial.write_bytes(content)


def write_pair(main: Path, content: bytes, beside: Path, text: str) -> None:
    """Writes a file and the one that describes it, so that they never disagree.

    A kill leaves both old, the old or the new file alone, or both new.

    Raises:
        UsageError: the folder cannot be written.
    """
    with atomic_path(main) as new_main, atomic_path(beside) as new_beside:
        new_main.write_bytes(content)
        new_beside.write_bytes(text.encode("utf-8"))
        _to_disk(new_main)
        _to_disk(new_beside)
        beside.unlink(missing_ok=True)
        new_main.replace(main)
        new_beside.replace(beside)


def write_text(target: Path, content: str) -> None:
    """Writes `content` to `target` as UTF-8 through a temporary file and a rename."""
    write_bytes(target, content.encode("utf-8"))


def is_regular(path: Path) -> bool:
    """Whether there is a regular file of that name; any name may be asked for."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, or holds a null
        return False


def reason(error: Exception) -> str:
    """What went wrong with a file, in words."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Reads a regular file whole; never waits for a pipe and never reads a device.

    Raises:
        OSError: it is missing, of another kind, over `most_bytes`, or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "no regular file")
        if found.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"over {most_bytes >> 20} MiB")
        return stream.read(found.st_size)


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 digest of a file as lower-case hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def digest_when_unchanged(path: Path) -> Callable[[], str]:
    """Returns a function that digests a file that is read bit by bit from now on.

    The function raises DataError where the file is another than now, or was written to.
    """

    def state() -> tuple[int, int, int]:
        found = path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    before = state()

    def digest() -> str:
        found = sha256_of(path)
        if state() != before:
            raise DataError(f"{path} changed while it was read: run again when nothing writes it")
        return found

    return digest


class _Names(TypedDict):
    prefix: str
    suffix: str


def _names_beside(target: Path) -> _Names:
    """How a temporary file is called that can become `target`."""
    return {"prefix": f".{target.name}.", "suffix": f".partial{target.suffix}"}


def _to_disk(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
