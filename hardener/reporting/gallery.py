"""Triggers as pictures: the suspects', of labels like most, and the true one."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hardener.data.triggers import load_trigger, trigger_png
from hardener.files import FileName
from hardener.results import LabelEvidence, ScanResult, TriggerKind
from hardener.scanning.saved import load_of_kind, picture_of
from hardener.scanning.verdict import LEAST_SUCCESS

_PICTURES = 6
_KINDS: dict[TriggerKind, str] = {
    "patch": "Patch",
    "additive": "Faint change",
    "warp": "Warp",
}


def trigger_pictures(folder: Path, scanned: ScanResult) -> list[dict[str, Any]]:
    """The suspicious labels' triggers and those of labels like most, of the kind that speaks."""
    if not scanned.searched:
        return []
    suspects = scanned.targets or (scanned.suspect,)
    rows = {row.label: row for row in scanned.searched}
    kind = rows[suspects[0]].kind
    wanted = [label for label in suspects if label in rows][: _PICTURES // 2]
    shown = [(label, one) for label in wanted for one in _working(rows[label])]
    shown += [(label, kind) for label in _usual(scanned, kind, wanted, _PICTURES - len(wanted))]
    return [
        {
            "base64": base64.b64encode(picture_of(load_of_kind(folder, rows[label], one))).decode(),
            "target": label in suspects,
            "described": f"{_KINDS[one]} that sends images to label {label}, much enlarged",
            "caption": f"label {label}, {_KINDS[one].lower()}: {_said(rows[label], one)}",
        }
        for label, one in shown
    ]


def _working(row: LabelEvidence) -> list[TriggerKind]:
    """The kinds of triggers that work, the one that speaks for the label first."""
    others = [
        kind
        for kind in _KINDS
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
            "base64": base64.b64encode(trigger_png(trigger)).decode(),
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
    match kind:
        case "patch":
            return f"{row.mask_l1:.1f} pixels, works on {row.trigger_success_rate:.0%}"
        case "additive":
            one = row.additive
            return f"ℓ2 norm {one.perturbation_l2:.2f}, works on {one.trigger_success_rate:.0%}"
        case "warp":
            moved = row.warp.displacement_rms
            return f"{moved:.2%} of the side, works on {row.warp.trigger_success_rate:.0%}"
