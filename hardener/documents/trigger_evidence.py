"""What a search found for one label, in the fields that every family of triggers has."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema, create_model

from hardener.frozen import Frozen
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import Family, TriggerKind


def _known(kind: str) -> str:
    if kind not in FAMILIES:
        raise ValueError(f"no family of triggers is called {kind!r}")
    return kind


KindField = Annotated[
    TriggerKind,
    AfterValidator(_known),
    WithJsonSchema({"enum": list(FAMILIES), "type": "string"}),
]


class OwnLook(Frozen):
    """Parts of clean images, cut at a trigger's place and shown on images of other labels."""

    own: float
    """Fraction of images that parts of this label's images send to this label."""
    others: float
    """Fraction that parts of other labels' images send to theirs: much where the place is large."""


class TriggerEvidence(Frozen):
    """The smallest trigger of one family that sends images to a label."""

    anomaly_index: float
    """How far the size lies below the median of the reference labels, in median absolute deviations
    scaled to a normal distribution; negative where it lies above."""
    relative_size: float
    """The size divided by the median of the reference labels."""
    trigger_success_rate: float
    """Fraction of images of other labels, not used in the search, that the trigger sends to this
    label."""
    trigger_sha256: str
    """Digest of the saved trigger."""
    own_look: OwnLook | None = None
    """What clean images do in the trigger's place; null where that was not tried."""
    stopped_early: bool = False
    """Whether the search stopped after a third of its steps because other labels came further: the
    trigger is then not the smallest."""
    nothing_found: bool = False
    """Whether nothing worked when the search stopped: the trigger then counts for nothing."""
    reference: bool = True
    """Whether the median and the deviation of this family were taken from this label, among others.
    Of more than 14 labels some are drawn at random for additive triggers and warps, of more than
    64 for patches too."""


def _size(family: Family[Any]) -> dict[str, Any]:
    return {family.size_field: (float, Field(description=f"{family.size_described}."))}


def evidence_of_family(family: Family[Any]) -> type[TriggerEvidence]:
    """The evidence with one family's own field: the size of its triggers."""
    return create_model(
        f"{family.name.title()}Evidence",
        __base__=TriggerEvidence,
        __doc__=f"What the search for the smallest {family.noun} of a label found.",
        **_size(family),
    )


FLAT: TriggerKind = "patch"
"""The family whose evidence stands in a label's row itself; that of others in a field each."""


def label_fields() -> Mapping[str, Any]:
    """The fields of a label's row that the families make, for pydantic's `create_model`."""
    nested = {
        kind: (
            evidence_of_family(family),
            Field(description=f"The smallest {family.noun} that was found."),
        )
        for kind, family in FAMILIES.items()
        if kind != FLAT
    }
    return _size(FAMILIES[FLAT]) | nested
