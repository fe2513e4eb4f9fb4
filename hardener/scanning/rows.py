"""What the searches found, as evidence for the verdict and as rows of `scan.json`."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hardener.arrays import FloatArray
from hardener.results import (
    AdditiveEvidence,
    LabelEvidence,
    ScreenedLabel,
    TriggerKind,
    WarpEvidence,
)
from hardener.scanning.inverting import Found
from hardener.scanning.saved import SyntheticTrigger, trigger_digest
from hardener.scanning.verdict import Evidence, anomaly_indices, relative_sizes

KINDS: tuple[TriggerKind, ...] = ("patch", "additive", "warp")
"""Kinds of trigger in the order of `Found.triggers`."""


def evidence_of(found: Found, success: Sequence[FloatArray]) -> list[Evidence]:
    """The evidence of each kind of trigger.

    Args:
        found: triggers of L labels.
        success: of each kind (L,), success rates on images that were not fitted on.
    """
    sizes = (
        [trigger.mask_l1 for trigger in found.patches.triggers],
        [trigger.l2 for trigger in found.additive.triggers],
        [warp.rms for warp in found.warps.triggers],
    )
    chosen = found.chosen
    # Where all labels are searched, patches are searched to the end for all of them.
    references = (chosen.reference if chosen.ranks else None, chosen.reference, chosen.reference)
    unsolved = (
        tuple(row for row, label in enumerate(chosen.labels) if label in kind.unsolved)
        for kind in (found.patches, found.additive, found.warps)
    )
    return [
        Evidence(kind, np.array(of_kind, np.float32), worked, reference, nothing)
        for kind, of_kind, worked, reference, nothing in zip(
            KINDS, sizes, success, references, unsolved, strict=True
        )
    ]


def label_rows(
    found: Found, evidence: Sequence[Evidence], kinds: Sequence[TriggerKind]
) -> tuple[LabelEvidence | ScreenedLabel, ...]:
    """One row a label, by label: those that were searched, and those that were screened only.

    Args:
        found: triggers of L labels.
        evidence: of each kind of trigger.
        kinds: (L,) the most suspicious kind of each label.
    """
    chosen = found.chosen
    rated = (
        _rated(evidence[0], found.patches.triggers, found.patches.stopped),
        _rated(evidence[1], found.additive.triggers, found.additive.stopped),
        _rated(evidence[2], found.warps.triggers, found.warps.stopped),
    )
    searched = [
        LabelEvidence(
            label=label,
            kind=kind,
            mask_l1=mask_l1,
            **of_patch,
            additive=AdditiveEvidence(perturbation_l2=l2, **of_faint),
            warp=WarpEvidence(displacement_rms=rms, **of_warp),
            screening_rank=chosen.ranks.get(label),
        )
        for label, kind, (mask_l1, of_patch), (l2, of_faint), (rms, of_warp) in zip(
            chosen.labels, kinds, *rated, strict=True
        )
    ]
    others = [
        ScreenedLabel(label=label, screening_rank=chosen.ranks[label])
        for label in chosen.screened_only
    ]
    return tuple(sorted([*searched, *others], key=lambda row: row.label))


def _rated(
    evidence: Evidence, triggers: Sequence[SyntheticTrigger], stopped: frozenset[int]
) -> list[tuple[float, dict[str, Any]]]:
    """The size of each label's trigger, and what every kind's evidence says of it."""
    index, relative = (
        measured(evidence.sizes, evidence.reference)
        for measured in (anomaly_indices, relative_sizes)
    )
    return [
        (
            float(evidence.sizes[row]),
            {
                "anomaly_index": float(index[row]),
                "relative_size": float(relative[row]),
                "trigger_success_rate": float(evidence.success[row]),
                "trigger_sha256": trigger_digest(trigger),
                "stopped_early": trigger.label in stopped,
                "nothing_found": row in evidence.unsolved,
                "reference": evidence.reference is None or row in evidence.reference,
            },
        )
        for row, trigger in enumerate(triggers)
    ]
