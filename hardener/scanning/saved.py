"""A finished scan on disk: `scan.json` and the synthetic triggers.

Apart from the scan itself, so that who only reads one does not wait for torch.
"""

from collections.abc import Sequence
from pathlib import Path

from hardener.data.triggers import Trigger, load_trigger, save_trigger
from hardener.errors import DataError
from hardener.files import sha256_of
from hardener.results import ScanResult

SCAN_FILE = "scan.json"


def trigger_path(folder: Path, label: int) -> Path:
    """Where a scan keeps the synthetic trigger of a label."""
    return folder / "triggers" / f"label-{label:02d}.npz"


def save_triggers(folder: Path, triggers: Sequence[Trigger]) -> list[str]:
    """Writes a scan's synthetic triggers and returns the files' digests."""
    digests: list[str] = []
    for trigger in triggers:
        path = trigger_path(folder, trigger.label)
        save_trigger(trigger, path)
        digests.append(sha256_of(path))
    return digests


def load_scan(folder: Path) -> ScanResult:
    """Reads a finished scan.

    Raises:
        DataError: the folder holds no scan of this schema.
    """
    path = folder / SCAN_FILE
    if not path.is_file():
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
        if not path.is_file() or sha256_of(path) != digests[label]:
            raise DataError(f"{path} is not the trigger that the scan saved: scan again")
        triggers.append(load_trigger(path))
    return tuple(triggers)
