"""What `harden scan` finds."""

from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, JsonValue, create_model

from hardener.documents.document import Run
from hardener.documents.identity import DataIdentity, Layer, ModelIdentity, Normalisation
from hardener.documents.rates import Rate
from hardener.documents.trigger_evidence import FLAT, KindField, TriggerEvidence, label_fields
from hardener.frozen import Frozen
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind


class _SearchedLabel(TriggerEvidence):
    """What was found for one label that was searched; its own fields tell of the patch."""

    label: int
    kind: KindField
    """Family of its most suspicious trigger."""
    searched: Literal[True] = True
    """True: triggers of every family were searched."""
    screening_rank: int | None = None
    """The label's place among all in the screening, from 1, the most promising; null where every
    label was searched."""

    def of_kind(self, kind: TriggerKind) -> TriggerEvidence:
        """What the search for one family of triggers found; for patches this row itself."""
        found: TriggerEvidence = self if kind == FLAT else getattr(self, kind)
        return found

    def size_of(self, kind: TriggerKind) -> float:
        """Size of the smallest trigger of a family, in the family's unit."""
        return float(getattr(self.of_kind(kind), FAMILIES[kind].size_field))


if TYPE_CHECKING:

    class LabelEvidence(_SearchedLabel):
        """A row with the fields that the families make, which a type checker cannot see."""

        def __init__(self, **fields: Any) -> None: ...  # noqa: ANN401

        def __getattr__(self, name: str) -> Any: ...  # noqa: ANN401  whatever the family says

else:
    LabelEvidence = create_model(
        "LabelEvidence", __base__=_SearchedLabel, __doc__=_SearchedLabel.__doc__, **label_fields()
    )


class ScreenedLabel(Frozen):
    """A label that was screened and found less promising than those that were searched."""

    label: int
    searched: Literal[False] = False
    """False: no trigger of it was searched, and none is saved."""
    screening_rank: int
    """Its place among all labels in the screening, from 1, the most promising."""


class SquareEvidence(Frozen):
    """The solid square that most exchanges labels for others."""

    top: int
    """Row of its upper edge, in pixels."""
    left: int
    """Column of its left edge, in pixels."""
    side: int
    """Its length, in pixels."""
    colour: tuple[float, ...]
    """Of each channel, 0 or 1."""
    moved: float
    """Fraction of unseen images whose label it changes."""
    labels: int
    """How many labels those images go to."""
    scattered: float
    """`moved` times how many labels those images have now beside how many they had, in [0, 1]: near
    1 where labels are exchanged for one another, near 0 where all go to a few."""


class ExchangeEvidence(Frozen):
    """The faint trigger of one family that most exchanges labels for others."""

    size: float
    """In the family's unit."""
    moved: float
    """Fraction of unseen images whose label it changes."""
    labels: int
    """How many labels those images go to."""
    scattered: float
    """As a square's."""
    trigger_sha256: str
    """Digest of its file, `triggers/exchange-FAMILY.npz`."""


class MarginEvidence(Frozen):
    """How far each label can get ahead of all others, searched without images."""

    largest: tuple[float, ...]
    """Largest margin of each label that the search met, in units of the logits, in order."""
    suspect: int
    """The label with the largest."""
    p_value: float | None
    """How likely a margin as large as the suspect's is among labels like the others; null where too
    few labels have a positive margin to tell."""


class LastLayerEvidence(Frozen):
    """The weights that make the logits, one row for each label."""

    mean_weights: tuple[float, ...]
    """Mean of each label's row, in order."""
    anomaly_indices: tuple[float, ...]
    """How far each mean lies above the median of all labels, in median absolute deviations scaled
    to a normal distribution; negative where it lies below."""
    suspect: int
    """The label with the largest."""


class MaxMean(Frozen):
    """A maximum over images and channels, and the mean over both."""

    max: float
    mean: float


class NormSummary(Frozen):
    """The three norms of the feature layer's channels under one input setting."""

    l1: MaxMean
    l2: MaxMean
    linf: MaxMean


class ChannelEvidence(Frozen):
    """How strongly one channel of the feature layer answers to the suspect's trigger."""

    channel: int
    linf_clean: float
    """Mean of the channel's ℓ∞ norm over clean images."""
    linf_triggered: float
    """The same over images with the trigger."""
    gap: float
    """How much it rises."""


Verdict = Literal["clean", "backdoored", "inconclusive"]


class DetectorFinding(Frozen):
    """What one detector saw."""

    detector: str
    verdict: Verdict
    """What it alone would say of the model."""
    against: tuple[str, ...] = ()
    """Sentences that speak for a backdoor."""
    favour: tuple[str, ...] = ()
    """Sentences that speak for a clean model."""
    doubts: tuple[str, ...] = ()
    """Sentences on what it could not look at, or what failed."""
    details: dict[str, JsonValue] = Field(default_factory=dict)
    """What it tells besides that no field of its own holds."""


class LookedFor(Frozen):
    """One kind of attack, and whether a scan looked for it."""

    attack: str
    looked_for: bool
    found: Rate | None
    """Of networks or constructions with such a backdoor, held back for reports, the fraction that
    was called backdoored; null where that was not measured."""


GRAPH_LOGIC = "graph-logic"
"""Name of the detector of logic that somebody wrote into the graph."""


class ScanResult(Run):
    """What `harden scan` writes to scan.json.

    A scan without images has neither `data` nor `accuracy`, and `labels`, `norms` and `channels`
    are empty.
    """

    model: ModelIdentity
    data: DataIdentity | None
    verdict: Verdict
    score: float
    """Suspicion in [0, 1]; higher is more suspicious."""
    targets: tuple[int, ...]
    """The target labels of the backdoors that were found; where inconclusive, those suspected."""
    suspect: int
    """The label whose trigger the norms and channels were measured with; without images the one
    with the largest margin."""
    accuracy: float | None
    """On the clean images."""
    preprocessing: Normalisation
    layer: Layer
    labels: tuple[LabelEvidence | ScreenedLabel, ...]
    """One row for each label, in order; of many labels most are screened only."""
    norms: dict[str, NormSummary]
    """Norms of the feature layer under each input setting."""
    channels: tuple[ChannelEvidence, ...]
    """The channels, strongest rise first."""
    moving: SquareEvidence | None = None
    """The square that most exchanges labels; null without images."""
    exchanges: dict[KindField, ExchangeEvidence] = Field(default_factory=dict)
    """Of families that are searched for it the trigger that most exchanges labels."""
    margins: MarginEvidence | None = None
    """Evidence that needs no images; null where the search met values that are not finite."""
    last_layer: LastLayerEvidence | None = None
    """Evidence that needs no images; null where no fully connected layer makes the logits."""
    findings: tuple[DetectorFinding, ...] = ()
    """What each detector that could run saw."""
    looked_for: tuple[LookedFor, ...] = ()
    """Kinds of attack, and which of them this scan looked for."""
    reasons: tuple[str, ...]
    """Sentences for people: on the evidence, and on what was not looked at."""

    @property
    def kinds(self) -> dict[int, TriggerKind]:
        """Of each label that was searched the family of its most suspicious trigger."""
        return {evidence.label: evidence.kind for evidence in self.searched}

    @property
    def graph_logic(self) -> tuple[str, ...]:
        """Names of tensors that the graph computes from pixels and that never change."""
        return tuple(
            str(one.get("tensor"))
            for finding in self.findings
            if finding.detector == GRAPH_LOGIC
            for one in _rows(finding.details.get("operands"))
        )

    @property
    def graph_logic_labels(self) -> frozenset[int]:
        """Labels that such a value sends images to once it is another."""
        return frozenset(
            label
            for finding in self.findings
            if finding.detector == GRAPH_LOGIC
            for one in _rows(finding.details.get("operands"))
            if one.get("accuses") and isinstance(label := one.get("label"), int)
        )

    @property
    def searched(self) -> tuple[LabelEvidence, ...]:
        """The labels that were searched in full."""
        return tuple(row for row in self.labels if isinstance(row, LabelEvidence))

    @property
    def medians(self) -> dict[TriggerKind, float]:
        """Of each family the median size of the reference labels, where there are any."""
        rows = self.searched
        sizes = {
            kind: [row.size_of(kind) for row in rows if row.of_kind(kind).reference]
            for kind in FAMILIES
        }
        return {kind: median(of_kind) for kind, of_kind in sizes.items() if of_kind}


def _rows(told: JsonValue) -> list[Mapping[str, JsonValue]]:
    """Rows of a detector's details; a file may hold anything there."""
    return [row for row in told if isinstance(row, Mapping)] if isinstance(told, list) else []
