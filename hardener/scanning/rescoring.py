"""The scan's score of labels whose triggers were searched again, in a model with other weights.

The other labels' triggers stay those of the scan: they say what size is usual.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hardener.documents.scan import ScanResult
from hardener.measuring.quality import Counts
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.evidence import LEAST_SUCCESS, Evidence
from hardener.triggers.families import FAMILIES, family_of
from hardener.triggers.family import SyntheticTrigger, TriggerKind


def suspicion_again(
    scanned: ScanResult,
    found: Mapping[SyntheticTrigger, Counts],
    calibration: Calibration | None = None,
) -> float:
    """Highest score in [0, 1] of the labels that were searched again; 0 where none was.

    Args:
        scanned: the scan of the model as it came.
        found: triggers of a new search, with their counts on images it did not see.
        calibration: how evidence becomes a score; by default the shipped one.
    """
    calibration = calibration or shipped()
    labels = [row.label for row in scanned.searched]
    scores = [0.0]
    for kind in FAMILIES:
        evidence = _of_the_scan(scanned, kind)
        for label in {trigger.label for trigger in found}.intersection(labels):
            own = [t for t in found if t.label == label and family_of(t).name == kind]
            if not own:
                continue
            trigger = min(own, key=lambda t: (found[t].success_rate < LEAST_SUCCESS, t.size))
            position = labels.index(label)
            again = _with(evidence, position, trigger.size, found[trigger].success_rate)
            scores.append(float(again.scores(calibration)[position]))
    return max(scores)


def _of_the_scan(scanned: ScanResult, kind: TriggerKind) -> Evidence:
    rows = scanned.searched
    of_kind = [row.of_kind(kind) for row in rows]
    return Evidence(
        kind,
        np.array([row.size_of(kind) for row in rows], np.float32),
        np.array([one.trigger_success_rate for one in of_kind], np.float32),
        tuple(position for position, one in enumerate(of_kind) if one.reference),
    )


def _with(evidence: Evidence, position: int, size: float, success: float) -> Evidence:
    sizes, rates = evidence.sizes.copy(), evidence.success.copy()
    sizes[position], rates[position] = size, success
    return replace(evidence, sizes=sizes, success=rates)
