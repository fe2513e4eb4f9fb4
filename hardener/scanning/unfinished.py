"""What a scan has found so far, kept in the user's cache until it is finished.

Each piece (a group of labels of one kind of trigger, say) is one file that appears whole or not at
all. It goes by a digest of everything that it depends on, so that another model, other images or
another version finds nothing, and begins with a digest of that and of its content. A file that
does not bear that out, or holds arrays of other forms, is worth nothing and is made anew.
"""

import hashlib
import io
import json
import math
import os
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardener.arrays import FloatArray
from hardener.errors import HardenError, UsageError
from hardener.files import read_regular, write_bytes

Arrays = tuple[FloatArray, ...]
Forms = Sequence[tuple[int, ...]]

_LARGEST_PIECE_BYTES = 1 << 30
_LARGEST_HEADER_BYTES = 1 << 10
_OLD_SECONDS = 30 * 24 * 3600
_DIGEST_BYTES = hashlib.sha256().digest_size


def code_digest(package: Path = Path(__file__).parent.parent) -> str:
    """SHA-256 digest of a package's modules, by default ours: what other code found is not ours."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where unfinished scans are kept: below XDG_CACHE_HOME, or ~/.cache where that is not set."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    # The standard has relative paths ignored.
    base = Path(named) if Path(named).is_absolute() else Path("~/.cache").expanduser()
    return base / "hardener" / "scans"


@dataclass(frozen=True)
class Unfinished:
    """The pieces of one scan.

    Attributes:
        folder: where they lie; None keeps nothing.
        key: digest of all that every piece depends on.
        stage: what these pieces are.
    """

    folder: Path | None = None
    key: str = ""
    stage: str = ""

    def of(self, stage: str, **depends_on: object) -> "Unfinished":
        """The same scan's pieces of a stage that depends on more; values are told by their repr."""
        more = json.dumps({name: repr(value) for name, value in sorted(depends_on.items())})
        return Unfinished(self.folder, self.key, f"{self.stage}/{stage}:{more}")

    def remove(self) -> None:
        """Removes the pieces of all stages: the scan is finished."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def piece(
        self, labels: Sequence[int], forms: Forms, made: Callable[[], Arrays]
    ) -> tuple[Arrays, bool]:
        """What an earlier run kept, or else what is made now, which is kept then.

        Args:
            labels: which labels the piece is about.
            forms: the shapes of its arrays.
            made: makes it.

        Returns:
            The float32 arrays, and whether an earlier run had made them.
        """
        if self.folder is None:
            return made(), False
        name = hashlib.sha256(
            json.dumps([self.key, self.stage, list(map(int, labels))]).encode()
        ).hexdigest()
        path = self.folder / f"{name}.piece"
        found = _read(path, name, forms)
        if found is not None:
            return found, True
        arrays = made()
        # Without a place to keep it, a scan that is cut short begins again: no reason to fail.
        with suppress(UsageError):
            write_bytes(path, _signed(name, _npz(arrays)))
        return arrays, False


NOTHING_KEPT = Unfinished()


@contextmanager
def unfinished(depends_on: Mapping[str, object]) -> Iterator[Unfinished]:
    """Keeps what a scan finds, until `remove` is called or the block ends with a HardenError.

    Where it is interrupted or killed, the pieces stay for the next run.

    Args:
        depends_on: all that the scan's findings depend on, by name; told by its repr.
    """
    key = hashlib.sha256(
        json.dumps({name: repr(value) for name, value in sorted(depends_on.items())}).encode()
    ).hexdigest()
    folder: Path | None = None
    with suppress(RuntimeError):  # there is no home
        folder = cache_folder() / key
        _forget_old(folder)
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            folder = None
    kept = Unfinished(folder, key)
    try:
        yield kept
    except HardenError:
        kept.remove()
        raise


def _forget_old(own: Path) -> None:
    """Removes the pieces of other scans that nobody went on with for a month."""
    with suppress(OSError):
        for other in own.parent.iterdir():
            if other != own and time.time() - other.lstat().st_mtime > _OLD_SECONDS:
                shutil.rmtree(other, ignore_errors=True)


def _npz(arrays: Arrays) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, *arrays)
    return stream.getvalue()


def _signed(name: str, content: bytes) -> bytes:
    return hashlib.sha256(name.encode() + content).digest() + content


def _is_plain(content: bytes, forms: Forms) -> bool:
    """Whether an archive holds no more bytes than arrays of such forms take, uncompressed."""
    allowed = sum(4 * math.prod(form) + _LARGEST_HEADER_BYTES for form in forms)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = archive.infolist()
    stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
    return stored and sum(part.file_size for part in parts) <= allowed


def _read(path: Path, name: str, forms: Forms) -> Arrays | None:
    """A piece's arrays; None where there is none, or none that can be right."""
    try:
        whole = read_regular(path, _LARGEST_PIECE_BYTES)
        content = whole[_DIGEST_BYTES:]
        if whole != _signed(name, content):
            return None
        if not _is_plain(content, forms):
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = tuple(stored[f"arr_{number}"] for number in range(len(stored.files)))
    except Exception:  # a damaged file makes numpy raise anything, and is made anew
        return None
    fits = [array.shape for array in arrays] == list(map(tuple, forms)) and all(
        array.dtype == np.float32 and np.isfinite(array).all() for array in arrays
    )
    return arrays if fits else None
