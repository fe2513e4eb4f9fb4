"""What the searches found, as evidence for the verdict and as rows of `scan.json`."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from hardener.arrays import FloatArray
from hardener.documents.scan import LabelEvidence, ScreenedLabel
from hardener.documents.trigger_evidence import FLAT
from hardener.scanning.evidence import Evidence, anomaly_indices, relative_sizes
from hardener.scanning.innocents import Looks, OwnLooks
from hardener.scanning.label_search import Found
from hardener.scanning.saved import trigger_digest
from hardener.scanning.searches.family_search import Inverted
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind


def evidence_of(found: Found, success: Sequence[FloatArray]) -> list[Evidence]:
    """The evidence of each kind of trigger.

    Args:
        found: triggers of L labels.
        success: of each kind (L,), success rates on images that were not fitted on.
    """
    chosen = found.chosen
    return [
        Evidence(
            kind,
            np.array([trigger.size for trigger in inverted.triggers], np.float32),
            worked,
            found.reference_of(kind),
            tuple(row for row, label in enumerate(chosen.labels) if label in inverted.unsolved),
        )
        for (kind, inverted), worked in zip(found.inverted.items(), success, strict=True)
    ]


def label_rows(
    found: Found,
    evidence: Sequence[Evidence],
    kinds: Sequence[TriggerKind],
    own_looks: OwnLooks = MappingProxyType({}),
) -> tuple[LabelEvidence | ScreenedLabel, ...]:
    """One row a label, by label: those that were searched, and those that were screened only.

    Args:
        found: triggers of L labels.
        evidence: of each kind of trigger.
        kinds: (L,) the most suspicious kind of each label.
        own_looks: what labels' own images do in the place of their triggers.
    """
    chosen = found.chosen
    rated = {
        one.kind: [
            {FAMILIES[one.kind].size_field: size, **said}
            for size, said in _rated(one, inverted, own_looks.get(one.kind, {}))
        ]
        for one, inverted in zip(evidence, found.inverted.values(), strict=True)
    }
    searched = [
        LabelEvidence.model_validate(
            {
                "label": label,
                "kind": kind,
                **rated[FLAT][row],
                **{family: of_family[row] for family, of_family in rated.items() if family != FLAT},
                "screening_rank": chosen.ranks.get(label),
            }
        )
        for row, (label, kind) in enumerate(zip(chosen.labels, kinds, strict=True))
    ]
    others = [
        ScreenedLabel(label=label, screening_rank=chosen.ranks[label])
        for label in chosen.screened_only
    ]
    return tuple(sorted([*searched, *others], key=lambda row: row.label))


def _rated(
    evidence: Evidence, inverted: Inverted[Any], own_looks: Mapping[int, Looks]
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
                **({"own_look": own_looks[row]._asdict()} if row in own_looks else {}),
                "stopped_early": trigger.label in inverted.stopped,
                "nothing_found": row in evidence.unsolved,
                "reference": evidence.reference is None or row in evidence.reference,
            },
        )
        for row, trigger in enumerate(inverted.triggers)
    ]
