"""Whether a finished scan found that all labels are exchanged, and by which triggers."""

from hardener.documents.scan import ScanResult, SquareEvidence
from hardener.scanning.calibration import shipped
from hardener.triggers.family import TriggerKind


def exchanges_labels(scanned: ScanResult) -> bool:
    """Whether a scan found an attack from all labels to all, and no label that is a target."""
    return (
        scanned.verdict == "backdoored"
        and not scanned.targets
        and (square_exchanges(scanned) is not None or bool(exchanging_kinds(scanned)))
    )


def square_exchanges(scanned: ScanResult) -> SquareEvidence | None:
    """The square of a scan, where it exchanges labels as an attack's does."""
    square = scanned.moving
    return square if square is not None and _exchanges(square.scattered) else None


def exchanging_kinds(scanned: ScanResult) -> tuple[TriggerKind, ...]:
    """Families whose trigger exchanges labels as an attack's does, strongest first."""
    found = {kind: one for kind, one in scanned.exchanges.items() if _exchanges(one.scattered)}
    return tuple(sorted(found, key=lambda kind: -found[kind].scattered))


def _exchanges(scattered: float) -> bool:
    calibration = shipped()
    return calibration.moving_score(scattered) >= calibration.backdoored_from
