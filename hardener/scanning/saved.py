"""A scan's folder: written so that readers see the old scan or the new one, and read back.

New triggers are staged under names that hold their digest, then `scan.json` is replaced, then the
triggers move to their places. A reader goes by the digests in `scan.json` and looks in both
places, so that a scan that is killed at any moment leaves a whole one.
"""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hardener.documents.scan import LabelEvidence, ScanResult
from hardener.documents.trigger_evidence import FLAT
from hardener.errors import DataError, InconclusiveError, UsageError
from hardener.files import FileName, check_output, is_regular, read_regular, write_bytes
from hardener.scanning.contradictions import contradicts_itself
from hardener.scanning.found_exchanges import (
    exchanges_labels,
    exchanging_kinds,
    square_exchanges,
)
from hardener.triggers.arrays_on_disk import LARGEST_TRIGGER_BYTES
from hardener.triggers.families import FAMILIES, family_of
from hardener.triggers.family import SyntheticTrigger, TriggerKind
from hardener.triggers.patch import solid_square

SCAN_FILE = "scan.json"
_STAGED = ".staged-*.npz"


@dataclass(frozen=True)
class SavedScan:
    """A finished scan that was read.

    Attributes:
        folder: where it lies.
        result: what it found.
    """

    folder: Path
    result: ScanResult


ScanGiven: TypeAlias = FileName | SavedScan
"""A finished scan: its folder, or what `open_scan` read of it."""


def trigger_path(folder: Path, label: int, kind: TriggerKind = "patch") -> Path:
    """Where a scan keeps a synthetic trigger of a label."""
    return folder / "triggers" / f"{FAMILIES[kind].file_stem}-{label:02d}.npz"


def exchange_path(folder: Path, kind: TriggerKind) -> Path:
    """Where a scan keeps the trigger of a family that most exchanges labels."""
    return folder / "triggers" / f"exchange-{kind}.npz"


def trigger_digest(trigger: SyntheticTrigger) -> str:
    """SHA-256 digest of the file that `save_scan` writes for a trigger."""
    return hashlib.sha256(family_of(trigger).npz(trigger)).hexdigest()


def check_scan_files(folder: Path, labels: Sequence[int], *inputs: Path) -> None:
    """Makes sure, before long work, that a scan's files can go by their names.

    Args:
        folder: the scan's.
        labels: whose triggers are saved.
        inputs: files that are read and must not be replaced.

    Raises:
        UsageError: a name is an input, or cannot be written.
    """
    check_output(folder / SCAN_FILE, ".json", *inputs)
    read = {path.resolve() for path in inputs}
    of_labels = [trigger_path(folder, label, kind) for label in labels for kind in FAMILIES]
    kinds = [kind for kind in FAMILIES if kind != FLAT] if labels else []
    exchanges = [exchange_path(folder, kind) for kind in kinds]
    # The last label has the longest name: where that can be written, those of all labels can.
    longest = {*exchanges, *of_labels[-len(FAMILIES) :]}
    for path in (*of_labels, *exchanges):
        for written in (path, path.with_suffix(".png")):
            if path in longest or written.resolve() in read:
                check_output(written, written.suffix, *inputs)


def save_scan(
    folder: Path,
    result: ScanResult,
    triggers: Sequence[SyntheticTrigger],
    exchanges: Sequence[SyntheticTrigger] = (),
) -> None:
    """Writes `scan.json` and, for each trigger, an `.npz` and a PNG.

    Args:
        folder: the scan's; made when missing.
        result: whose `trigger_sha256` are those of `trigger_digest`.
        triggers: one of each kind for each label that was searched in full.
        exchanges: at most one of a kind.

    Raises:
        UsageError: the folder cannot be written.
    """
    kept = [(one, trigger_path(folder, one.label, family_of(one).name)) for one in triggers]
    kept += [(one, exchange_path(folder, family_of(one).name)) for one in exchanges]
    staged_at: list[Path] = []
    try:
        for trigger, _ in kept:
            content = family_of(trigger).npz(trigger)
            staged = _staged_path(folder, hashlib.sha256(content).hexdigest())
            write_bytes(staged, content)
            staged_at.append(staged)
        result.write(folder / SCAN_FILE)
    except UsageError:
        for staged in staged_at:
            staged.unlink(missing_ok=True)
        raise
    for (trigger, target), staged in zip(kept, staged_at, strict=True):
        # A digest that is staged twice is the same trigger and has moved already.
        if staged.exists():
            staged.replace(target)
        write_bytes(target.with_suffix(".png"), family_of(trigger).png(trigger))
    for leftover in (folder / "triggers").glob(_STAGED):
        with suppress(OSError):
            leftover.unlink()


def folder_of(given: ScanGiven) -> Path:
    """The scan's folder."""
    return given.folder if isinstance(given, SavedScan) else Path(given)


def open_scan(given: ScanGiven) -> SavedScan:
    """Reads a finished scan, unless it was read already.

    Raises:
        DataError: the folder holds no scan of this schema, or one that contradicts itself.
    """
    if isinstance(given, SavedScan):
        return given
    return SavedScan(Path(given), load_scan(given))


def load_scan(folder: FileName) -> ScanResult:
    """Reads what a finished scan found.

    Raises:
        DataError: the folder holds no scan of this schema, or one that contradicts itself.
    """
    path = Path(folder) / SCAN_FILE
    if not is_regular(path):
        raise DataError(f"{path} does not exist: run harden scan first")
    scanned = ScanResult.read(path)
    if scanned.data is None:
        if contradicts_itself(scanned) or scanned.labels or scanned.channels:
            raise DataError(f"{path} contradicts itself: scan again")
        return scanned
    inverted = {evidence.label for evidence in scanned.searched}
    unknown = {scanned.suspect, *scanned.targets} - inverted
    if unknown:
        raise DataError(
            f"{path} suspects label {min(unknown)} and has no evidence of it: scan again"
        )
    if contradicts_itself(scanned):
        raise DataError(f"{path} contradicts itself: scan again")
    return scanned


def require_images(scan: SavedScan) -> None:
    """Refuses a scan that was made without images: it has no triggers to go by.

    Raises:
        DataError: it is one.
    """
    if scan.result.data is None:
        raise DataError(
            f"{scan.folder} is a scan without images, which has no triggers and no channels: run "
            "harden scan with --data first"
        )


def load_exchanging(scan: SavedScan) -> tuple[SyntheticTrigger, ...]:
    """Reads the triggers of a scan that exchange labels as an attack's do, the square first.

    Raises:
        DataError: a trigger is missing or not the one that the scan saved.
    """
    square, scanned = square_exchanges(scan.result), scan.result
    of_families = [_load_exchange(scan, kind) for kind in exchanging_kinds(scanned)]
    if square is None:
        return tuple(of_families)
    corner, colour = (square.top, square.left), np.array(square.colour, np.float32)
    return solid_square(colour, scanned.preprocessing.size, corner, square.side), *of_families


def _load_exchange(scan: SavedScan, kind: TriggerKind) -> SyntheticTrigger:
    path = exchange_path(scan.folder, kind)
    return _read_trigger(path, kind, scan.result.exchanges[kind].trigger_sha256)


def require_target(scan: SavedScan) -> None:
    """Refuses a scan that found a backdoor without a target label: no trigger goes to one.

    Raises:
        InconclusiveError: it is one.
    """
    found = scan.result
    if exchanges_labels(found):
        raise InconclusiveError(
            f"{scan.folder} found an attack from all labels to all, which has no target label: "
            "only harden repair can mend that"
        )
    if found.verdict == "backdoored" and not found.targets:
        raise InconclusiveError(
            f"{scan.folder} found a backdoor without a target label: nothing can mend that, do not "
            "ship the model"
        )


def load_synthetic_triggers(
    scan: SavedScan, labels: Sequence[int] | None = None
) -> tuple[SyntheticTrigger, ...]:
    """Reads synthetic triggers of a scan: of each label the most suspicious one.

    Args:
        scan: the scan.
        labels: whose triggers; by default the targets', or the suspect's where there are none.

    Raises:
        DataError: a trigger is missing or not the one that the scan saved.
    """
    scanned = scan.result
    evidence = {found.label: found for found in scanned.searched}
    triggers: list[SyntheticTrigger] = []
    for label in dict.fromkeys(labels or scanned.targets or (scanned.suspect,)):
        if label not in evidence:
            raise DataError(f"{scan.folder} has no trigger of label {label}: scan that label too")
        triggers.append(load_of_kind(scan.folder, evidence[label], evidence[label].kind))
    return tuple(triggers)


def load_working_triggers(scan: SavedScan, least_success: float) -> tuple[SyntheticTrigger, ...]:
    """Reads the triggers of every kind, of each target or of the suspect, that work.

    Args:
        scan: the scan.
        least_success: success rate from which a trigger works; the kind that made the label
            suspicious is read in any case.

    Raises:
        DataError: a trigger is missing or not the one that the scan saved.
    """
    wanted = scan.result.targets or (scan.result.suspect,)
    return tuple(
        load_of_kind(scan.folder, found, kind)
        for found in scan.result.searched
        if found.label in wanted
        for kind in FAMILIES
        if kind == found.kind or found.of_kind(kind).trigger_success_rate >= least_success
    )


def load_of_kind(folder: Path, evidence: LabelEvidence, kind: TriggerKind) -> SyntheticTrigger:
    """Reads one label's trigger of a kind.

    Raises:
        DataError: it is missing or not the one that the scan saved.
    """
    path = trigger_path(folder, evidence.label, kind)
    trigger = _read_trigger(path, kind, evidence.of_kind(kind).trigger_sha256)
    if trigger.label != evidence.label:
        raise DataError(f"{path} is a trigger of label {trigger.label}: scan again")
    return trigger


def _read_trigger(path: Path, kind: TriggerKind, digest: str) -> SyntheticTrigger:
    content = _with_digest(digest, path, path.with_name(_STAGED.replace("*", digest)))
    if content is None:
        raise DataError(f"{path} is not the trigger that the scan saved: scan again")
    trigger: SyntheticTrigger = FAMILIES[kind].from_npz(path, content)
    return trigger


def _staged_path(folder: Path, digest: str) -> Path:
    return folder / "triggers" / _STAGED.replace("*", digest)


def _with_digest(digest: str, *paths: Path) -> bytes | None:
    for path in paths:
        with suppress(OSError, ValueError):
            content = read_regular(path, LARGEST_TRIGGER_BYTES)
            if hashlib.sha256(content).hexdigest() == digest:
                return content
    return None
