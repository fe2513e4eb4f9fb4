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
    labels = found.chosen.labels
    stopped = (
        tuple(row for row, label in enumerate(labels) if label in kind.stopped)
        for kind in (found.patches, found.additive, found.warps)
    )
    return [
        Evidence(kind, np.array(of_kind, np.float32), worked, found.chosen.reference, halted)
        for kind, of_kind, worked, halted in zip(KINDS, sizes, success, stopped, strict=True)
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
    reference = range(len(chosen.labels)) if chosen.reference is None else chosen.reference
    triggers: tuple[Sequence[SyntheticTrigger], ...] = (
        found.patches.triggers,
        found.additive.triggers,
        found.warps.triggers,
    )
    rated = [_rated(*of_kind) for of_kind in zip(evidence, triggers, strict=True)]
    searched = [
        LabelEvidence(
            label=label,
            kind=kind,
            mask_l1=mask_l1,
            **of_patch,
            additive=AdditiveEvidence(perturbation_l2=l2, **of_faint),
            warp=WarpEvidence(displacement_rms=rms, **of_warp),
            reference=position in reference,
            screening_rank=chosen.ranks.get(label),
        )
        for position, (label, kind, (mask_l1, of_patch), (l2, of_faint), (rms, of_warp)) in (
            enumerate(zip(chosen.labels, kinds, *rated, strict=True))
        )
    ]
    others = [
        ScreenedLabel(label=label, screening_rank=chosen.ranks[label])
        for label in chosen.screened_only
    ]
    return tuple(sorted([*searched, *others], key=lambda row: row.label))


def _rated(
    evidence: Evidence, triggers: Sequence[SyntheticTrigger]
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
                "stopped_early": row in evidence.stopped,
            },
        )
        for row, trigger in enumerate(triggers)
    ]
