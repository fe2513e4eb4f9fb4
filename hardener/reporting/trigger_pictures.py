"""Triggers as pictures: the suspects', of labels like most, and the true one."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardener.documents.scan import LabelEvidence, ScanResult
from hardener.files import FileName
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.scanning.found_exchanges import exchanges_labels
from hardener.scanning.saved import SavedScan, load_exchanging, load_of_kind
from hardener.triggers.families import FAMILIES, family_of
from hardener.triggers.family import SyntheticTrigger, TriggerKind
from hardener.triggers.patch import Trigger, load_trigger

_PICTURES = 6


def trigger_pictures(scan: SavedScan) -> list[dict[str, Any]]:
    """The suspicious labels' triggers and those of labels like most, of the kind that speaks."""
    scanned = scan.result
    if not scanned.searched:
        return []
    if exchanges_labels(scanned):
        return [_exchange_picture(one, scanned) for one in load_exchanging(scan)]
    suspects = scanned.targets or (scanned.suspect,)
    rows = {row.label: row for row in scanned.searched}
    kind = rows[suspects[0]].kind
    wanted = [label for label in suspects if label in rows][: _PICTURES // 2]
    shown = [(label, one) for label in wanted for one in _working(rows[label])]
    shown += [(label, kind) for label in _usual(scanned, kind, wanted, _PICTURES - len(wanted))]
    return [
        {
            "base64": _png_text(load_of_kind(scan.folder, rows[label], one)),
            "target": label in suspects,
            "described": f"{FAMILIES[one].title} that sends images to label {label}, much enlarged",
            "caption": f"label {label}, {FAMILIES[one].title.lower()}: {_said(rows[label], one)}",
        }
        for label, one in shown
    ]


def _exchange_picture(trigger: SyntheticTrigger, scanned: ScanResult) -> dict[str, Any]:
    """What exchanges labels: no label's own trigger tells of that attack."""
    family, square = family_of(trigger), scanned.moving
    if isinstance(trigger, Trigger) and square is not None:
        title, said, moved = "Square", f"{square.side}×{square.side} pixels", square.moved
    else:
        title, said = family.title, family.size_shown.format(trigger.size)
        moved = scanned.exchanges[family.name].moved
    return {
        "base64": _png_text(trigger),
        "target": True,
        "described": f"{title} that exchanges labels for one another, much enlarged",
        "caption": f"all labels, {title.lower()}: {said}, moves {moved:.0%}",
    }


def _working(row: LabelEvidence) -> list[TriggerKind]:
    """The kinds of triggers that work, the one that speaks for the label first."""
    others = [
        kind
        for kind in FAMILIES
        if kind != row.kind
        and not row.of_kind(kind).nothing_found
        and row.of_kind(kind).trigger_success_rate >= LEAST_SUCCESS
    ]
    return [row.kind, *others]


def known_picture(path: FileName | None) -> list[dict[str, Any]]:
    """The true trigger, as the page takes pictures; none where it is not known."""
    if path is None:
        return []
    trigger = load_trigger(Path(path))
    return [
        {
            "base64": _png_text(trigger),
            "target": False,
            "described": f"The true trigger, which sends images to label {trigger.label}",
            "caption": f"the true trigger, label {trigger.label}: {trigger.mask.sum():.1f} pixels",
        }
    ]


def _usual(scanned: ScanResult, kind: TriggerKind, but: Sequence[int], count: int) -> list[int]:
    """The labels whose triggers of a kind are nearest to the median, ascending."""
    others = [row for row in scanned.searched if row.label not in but]
    nearest = sorted(others, key=lambda row: abs(row.of_kind(kind).relative_size - 1))
    return sorted(row.label for row in nearest[:count])


def _said(row: LabelEvidence, kind: TriggerKind) -> str:
    size = FAMILIES[kind].size_shown.format(row.size_of(kind))
    return f"{size}, works on {row.of_kind(kind).trigger_success_rate:.0%}"


def _png_text(trigger: SyntheticTrigger) -> str:
    return base64.b64encode(family_of(trigger).png(trigger)).decode()
