"""A scan's folder: written so that readers see the old scan or the new one, and read back.

New triggers are staged under names that hold their digest, then `scan.json` is replaced, then the
triggers move to their places. A reader goes by the digests in `scan.json` and looks in both
places, so that a scan that is killed at any moment leaves a whole one.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hardener.data.triggers import (
    LARGEST_TRIGGER_BYTES,
    Trigger,
    trigger_from_npz,
    trigger_npz,
    trigger_png,
)
from hardener.errors import DataError, UsageError
from hardener.files import is_regular, read_regular, write_bytes
from hardener.results import ScanResult

SCAN_FILE = "scan.json"
_STAGED = ".staged-*.npz"


def trigger_path(folder: Path, label: int) -> Path:
    """Where a scan keeps the synthetic trigger of a label."""
    return folder / "triggers" / f"label-{label:02d}.npz"


def trigger_digest(trigger: Trigger) -> str:
    """SHA-256 digest of the file that `save_scan` writes for a trigger."""
    return hashlib.sha256(trigger_npz(trigger)).hexdigest()


def save_scan(folder: Path, result: ScanResult, triggers: Sequence[Trigger]) -> None:
    """Writes `scan.json` and, for each trigger, an `.npz` and a PNG.

    Args:
        folder: the scan's; made when missing.
        result: whose `trigger_sha256` are those of `trigger_digest`.
        triggers: one for each of the result's labels.

    Raises:
        UsageError: the folder cannot be written.
    """
    moves: list[tuple[Path, Path]] = []
    try:
        for trigger in triggers:
            target = trigger_path(folder, trigger.label)
            content = trigger_npz(trigger)
            staged = _staged_path(folder, hashlib.sha256(content).hexdigest())
            write_bytes(staged, content)
            moves.append((staged, target))
        result.write(folder / SCAN_FILE)
    except UsageError:
        for staged, _ in moves:
            staged.unlink(missing_ok=True)
        raise
    for trigger, (staged, target) in zip(triggers, moves, strict=True):
        # A digest that is staged twice is the same trigger and has moved already.
        if staged.exists():
            staged.replace(target)
        write_bytes(target.with_suffix(".png"), trigger_png(trigger))
    for leftover in (folder / "triggers").glob(_STAGED):
        with suppress(OSError):
            leftover.unlink()


def load_scan(folder: Path) -> ScanResult:
    """Reads a finished scan.

    Raises:
        DataError: the folder holds no scan of this schema.
    """
    path = folder / SCAN_FILE
    if not is_regular(path):
        raise DataError(f"{path} does not exist: run harden scan first")
    return ScanResult.read(path)


def load_synthetic_triggers(
    folder: Path, scanned: ScanResult, labels: Sequence[int] | None = None
) -> tuple[Trigger, ...]:
    """Reads synthetic triggers of a scan.

    Args:
        folder: the scan's.
        scanned: its result.
        labels: whose triggers; by default the targets', or the suspect's where there are none.

    Raises:
        DataError: a trigger is missing or not the one that the scan saved.
    """
    digests = {evidence.label: evidence.trigger_sha256 for evidence in scanned.labels}
    triggers: list[Trigger] = []
    for label in dict.fromkeys(labels or scanned.targets or (scanned.suspect,)):
        path = trigger_path(folder, label)
        if label not in digests:
            raise DataError(f"{folder} has no trigger of label {label}: scan that label too")
        content = _with_digest(digests[label], path, _staged_path(folder, digests[label]))
        if content is None:
            raise DataError(f"{path} is not the trigger that the scan saved: scan again")
        triggers.append(trigger_from_npz(path, content))
    return tuple(triggers)


def _staged_path(folder: Path, digest: str) -> Path:
    return folder / "triggers" / _STAGED.replace("*", digest)


def _with_digest(digest: str, *paths: Path) -> bytes | None:
    for path in paths:
        with suppress(OSError, ValueError):
            content = read_regular(path, LARGEST_TRIGGER_BYTES)
            if hashlib.sha256(content).hexdigest() == digest:
                return content
    return None
