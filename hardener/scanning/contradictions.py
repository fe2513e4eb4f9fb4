"""Whether what a scan's file says can all be true: it may have been edited."""

from hardener.documents.identity import Normalisation
from hardener.documents.rates import Rate
from hardener.documents.scan import ExchangeEvidence, ScanResult, SquareEvidence
from hardener.documents.trigger_evidence import FLAT
from hardener.scanning.calibration import shipped
from hardener.scanning.found_exchanges import exchanges_labels
from hardener.triggers.families import FAMILIES

_LARGEST_NUMBER = 1e30


def contradicts_itself(scanned: ScanResult) -> bool:
    """Whether verdict, targets, suspect, evidence and fractions do not go together."""
    targets, inverted = scanned.targets, [row.label for row in scanned.labels]
    named = {
        "clean": not targets,
        # A backdoor from all labels to all has no target, and what further detectors find need not.
        "backdoored": bool(targets) or exchanges_labels(scanned) or _found_by_a_detector(scanned),
        "inconclusive": True,
    }
    return not (
        named[scanned.verdict]
        and (not targets or scanned.suspect in targets)
        and len(set(targets)) == len(targets)
        and len(set(inverted)) == len(inverted)
        and (scanned.accuracy is None) == (scanned.data is None)
        and (scanned.accuracy is None or 0 <= scanned.accuracy <= 1)
        and (scanned.data is not None or scanned.verdict != "clean")
        and (scanned.data is None or len(scanned.medians) == len(FAMILIES))
        and 0 <= scanned.score <= 1
        and _score_fits(scanned)
        and _numbers_can_be(scanned)
        and (scanned.moving is None or _square_can_be(scanned.moving, scanned.preprocessing))
        # What patches exchange, `moving` tells.
        and FLAT not in scanned.exchanges
        and all(map(_exchange_can_be, scanned.exchanges.values()))
        and all(row.found is None or _rate_can_be(row.found) for row in scanned.looked_for)
    )


def _square_can_be(square: SquareEvidence, preprocessing: Normalisation) -> bool:
    """Whether a square lies in the image and has rates and colours in [0, 1]."""
    corner = square.top, square.left
    return (
        square.side >= 1
        and all(
            0 <= at <= side - square.side
            for at, side in zip(corner, preprocessing.size, strict=True)
        )
        and len(square.colour) == len(preprocessing.mean)
        and all(0 <= value <= 1 for value in (*square.colour, square.moved, square.scattered))
    )


def _exchange_can_be(found: ExchangeEvidence) -> bool:
    rates_can_be = all(0 <= rate <= 1 for rate in (found.moved, found.scattered))
    return rates_can_be and 0 <= found.size < _LARGEST_NUMBER and found.labels >= 0


def _rate_can_be(rate: Rate) -> bool:
    return 0 <= rate.low <= rate.value <= rate.high <= 1 and 0 <= rate.n < _LARGEST_NUMBER


def _found_by_a_detector(scanned: ScanResult) -> bool:
    return any(finding.verdict == "backdoored" for finding in scanned.findings)


def _score_fits(scanned: ScanResult) -> bool:
    calibration = shipped()
    match scanned.verdict:
        case "clean":
            return scanned.score < calibration.clean_below
        case "backdoored":
            return scanned.score >= calibration.backdoored_from
        case "inconclusive":
            return True


def _numbers_can_be(scanned: ScanResult) -> bool:
    """Whether sizes, rates, counts and channels are such as a scan can find."""
    found = [row.of_kind(kind) for row in scanned.searched for kind in FAMILIES]
    sizes = [
        *(row.size_of(kind) for row in scanned.searched for kind in FAMILIES),
        *(one.relative_size for one in found),
        *(value for row in scanned.channels for value in (row.linf_clean, row.linf_triggered)),
    ]
    channels = [row.channel for row in scanned.channels]
    return (
        all(0 <= size < _LARGEST_NUMBER for size in sizes)
        and all(0 <= one.trigger_success_rate <= 1 for one in found)
        and len(set(channels)) == len(channels)
        and all(0 <= channel < scanned.layer.channels for channel in channels)
        and (scanned.data is None or scanned.data.count > 0)
    )
