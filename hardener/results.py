"""What the stages find, as frozen documents that go to JSON and come back checked."""

from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hardener.data.preprocessing import Preprocessing
from hardener.errors import DataError
from hardener.files import read_regular, reason, write_text
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind

SCHEMA_VERSION = 1
_LARGEST_DOCUMENT_BYTES = 256 << 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Versioned(BaseModel):
    """What documents of every version hold."""

    schema_version: int = SCHEMA_VERSION


class Tool(_Frozen):
    """Who wrote a document."""

    name: str
    version: str


def _without_surrogates(path: str) -> str:
    # A file name need not be UTF-8; JSON must be.
    return path.encode("utf-8", "backslashreplace").decode()


PathText = Annotated[str, AfterValidator(_without_surrogates)]


class ModelIdentity(_Frozen):
    """Which model file was read."""

    path: PathText
    sha256: str


class DataIdentity(_Frozen):
    """Which images were read, how many of them, and which could not be decoded."""

    path: PathText
    sha256: str
    count: int
    unreadable: tuple[PathText, ...] = ()


class Layer(_Frozen):
    """The feature layer: its tensor's name, how many channels, and on which axis."""

    name: str
    channels: int
    axis: int


class Rate(_Frozen):
    """A fraction of `n` images in [0, 1] with its 95 % interval (Wilson score)."""

    value: float
    low: float
    high: float
    n: int


class Ratio(_Frozen):
    """A ratio with its 95 % interval."""

    value: float
    low: float
    high: float


class Document(_Frozen):
    """What every JSON file starts with.

    Attributes:
        schema_version: of the document's form.
        tool: what wrote it.
        created: when, in UTC, as ISO 8601.
        seed: of every random choice.
        provider: the execution provider that ran, not what was asked for.
    """

    schema_version: int = SCHEMA_VERSION
    tool: Tool = Field(default_factory=lambda: Tool(name="hardener", version=tool_version()))
    created: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    seed: int
    provider: str

    def write(self, path: Path) -> None:
        """Writes the document as indented JSON, whole or not at all."""
        write_text(path, self.to_json())

    def to_json(self) -> str:
        """The document as indented JSON, as its file holds it."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a document back.

        Raises:
            DataError: it is missing, of another schema version, or not such a document.
        """
        try:
            content = read_regular(path, _LARGEST_DOCUMENT_BYTES)
            version_read = _Versioned.model_validate_json(content).schema_version
            if version_read != SCHEMA_VERSION:
                raise DataError(
                    f"{path} has schema version {version_read}, this version of harden reads "
                    f"{SCHEMA_VERSION}: run the stage again"
                )
            return cls.model_validate_json(content)
        except OSError as error:
            raise DataError(f"{path} cannot be read: {reason(error)}") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the document"
            raise DataError(f"{path} is no {cls.__name__}: {where}: {first['msg']}") from error


class Run(Document):
    """What the stages that run a model on images add: how they ran it.

    Attributes:
        threads: of one operator on the CPU.
        batch_size: images a run; None where no images were looked at.
    """

    threads: int | None = None
    batch_size: int | None = None


class AdditiveEvidence(_Frozen):
    """What the search for the faintest additive trigger of a label found.

    Attributes:
        perturbation_l2: the perturbation's ℓ2 norm, on pixels in 0 to 1.
        anomaly_index: of perturbation_l2, as for patches.
        relative_size: perturbation_l2 divided by the median of the reference labels.
        trigger_success_rate: as for patches.
        trigger_sha256: digest of the saved trigger.
        stopped_early: whether the search stopped after a third of its steps, because others came
            further: the trigger is then not the smallest.
        nothing_found: whether nothing worked by then: the trigger says nothing and counts for
            nothing.
        reference: as for patches.
    """

    perturbation_l2: float
    anomaly_index: float
    relative_size: float
    trigger_success_rate: float
    trigger_sha256: str
    stopped_early: bool = False
    nothing_found: bool = False
    reference: bool = True


class WarpEvidence(_Frozen):
    """What the search for the slightest warp that reaches a label found.

    Attributes:
        displacement_rms: root mean square of the displacements, as a fraction of the image's side.
        anomaly_index: of displacement_rms, as for patches.
        relative_size: displacement_rms divided by the median of the reference labels.
        trigger_success_rate: as for patches; for most labels no warp works.
        trigger_sha256: digest of the saved trigger.
        stopped_early: whether the search stopped after a third of its steps, because others came
            further: the trigger is then not the smallest.
        nothing_found: whether nothing worked by then: the trigger says nothing and counts for
            nothing.
        reference: as for patches.
    """

    displacement_rms: float
    anomaly_index: float
    relative_size: float
    trigger_success_rate: float
    trigger_sha256: str
    stopped_early: bool = False
    nothing_found: bool = False
    reference: bool = True


class LabelEvidence(_Frozen):
    """What trigger inversion found for one label; the flat fields are of the patch.

    Attributes:
        label: the label.
        kind: of the most suspicious of its triggers.
        mask_l1: size of its smallest trigger, in pixels.
        anomaly_index: deviations of mask_l1 from the median of the reference labels, in MADs
            scaled to a normal distribution; positive where the mask is smaller than the median.
        relative_size: mask_l1 divided by the median of the reference labels.
        trigger_success_rate: fraction of images of other labels, not used in the search, that
            the trigger sends to this label.
        trigger_sha256: digest of the saved trigger.
        additive: the faintest additive trigger.
        warp: the slightest warp.
        stopped_early: as for additive triggers; the search for patches never is.
        nothing_found: likewise.
        searched: true: all kinds of triggers were searched.
        reference: whether the median and deviation of this kind of trigger were taken from this
            label, among others. Of more than 14 labels some are drawn at random for additive
            triggers and warps, of more than 64 for patches too.
        screening_rank: the label's place among all in the screening, from 1, the most promising;
            None where every label was searched.
    """

    label: int
    kind: TriggerKind
    mask_l1: float
    anomaly_index: float
    relative_size: float
    trigger_success_rate: float
    trigger_sha256: str
    additive: AdditiveEvidence
    warp: WarpEvidence
    stopped_early: bool = False
    nothing_found: bool = False
    searched: Literal[True] = True
    reference: bool = True
    screening_rank: int | None = None

    def of_kind(self, kind: TriggerKind) -> "LabelEvidence | AdditiveEvidence | WarpEvidence":
        """What the search for a kind of trigger found; for patches this row itself."""
        found: LabelEvidence | AdditiveEvidence | WarpEvidence
        found = self if kind == "patch" else getattr(self, kind)
        return found

    def size_of(self, kind: TriggerKind) -> float:
        """Size of the smallest trigger of a kind, in the family's unit."""
        return float(getattr(self.of_kind(kind), FAMILIES[kind].size_field))


class ScreenedLabel(_Frozen):
    """A label that was screened and found less promising than those that were searched.

    Attributes:
        label: the label.
        searched: false: no trigger of it was searched, and none is saved.
        screening_rank: its place among all labels in the screening, from 1, the most promising.
    """

    label: int
    searched: Literal[False] = False
    screening_rank: int


class MovingEvidence(_Frozen):
    """The solid square that most exchanges labels for others.

    Attributes:
        top: row of its upper edge, in pixels.
        left: column of its left edge.
        side: its length.
        colour: of each channel, 0 or 1.
        moved: fraction of unseen images whose label it changes.
        labels: how many labels those images go to.
        scattered: `moved` times how many labels those images have now beside how many they had,
            in [0, 1]: near 1 where labels are exchanged for one another, near 0 where all go to
            a few.
    """

    top: int
    left: int
    side: int
    colour: tuple[float, ...]
    moved: float
    labels: int
    scattered: float


class MarginEvidence(_Frozen):
    """How far each label can get ahead of all others, searched without images.

    Attributes:
        largest: largest margin of each label that was met, in units of the logits, in order.
        suspect: the label with the largest.
        p_value: how likely a margin as large as the suspect's is among labels like the others;
            None where too few labels have a positive margin to tell.
    """

    largest: tuple[float, ...]
    suspect: int
    p_value: float | None


class LastLayerEvidence(_Frozen):
    """The weights that make the logits, one row a label.

    Attributes:
        mean_weights: mean of each label's row, in order.
        anomaly_indices: deviations of each mean from the median of all labels, in MADs scaled to a
            normal distribution; positive above the median.
        suspect: the label with the largest.
    """

    mean_weights: tuple[float, ...]
    anomaly_indices: tuple[float, ...]
    suspect: int


class MaxMean(_Frozen):
    """Maximum over images and channels, and mean over both."""

    max: float
    mean: float


class NormSummary(_Frozen):
    """The three norms of the feature layer's channels under one input setting."""

    l1: MaxMean
    l2: MaxMean
    linf: MaxMean


class ChannelEvidence(_Frozen):
    """One channel's mean ℓ∞ on clean images and under the synthetic trigger, and the rise."""

    channel: int
    linf_clean: float
    linf_triggered: float
    gap: float


class Normalisation(_Frozen):
    """The preprocessing that was used: size, and mean and std of each channel."""

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> Self:
        """The same numbers as a document's part."""
        return cls(size=preprocessing.size, mean=preprocessing.mean, std=preprocessing.std)

    @property
    def fields(self) -> dict[str, tuple[float, ...]]:
        """The same numbers as fields that win over a model's metadata."""
        return {"size": self.size, "mean": self.mean, "std": self.std}


Verdict = Literal["clean", "backdoored", "inconclusive"]


class ScanResult(Run):
    """What `harden scan` writes to scan.json.

    A scan without images has neither `data` nor `accuracy`, and `labels`, `norms` and `channels`
    are empty.

    Attributes:
        verdict: clean, backdoored or inconclusive.
        score: in [0, 1]; higher is more suspicious.
        targets: the labels called backdoored; where inconclusive, those suspected.
        reasons: sentences for people, on the evidence and on what was not looked at.
        suspect: the label whose trigger the norms and channels were measured with; without images
            the one with the largest margin.
        accuracy: on the clean images.
        labels: one row a label, in order; of many labels most are screened only.
        channels: strongest rise first.
        moving: the square that most exchanges labels; None without images.
        margins: evidence without images; None where the search met values that are not finite.
        last_layer: likewise, of the weights; None where no fully connected layer makes the logits.
    """

    model: ModelIdentity
    data: DataIdentity | None
    verdict: Verdict
    score: float
    targets: tuple[int, ...]
    suspect: int
    accuracy: float | None
    preprocessing: Normalisation
    layer: Layer
    labels: tuple[LabelEvidence | ScreenedLabel, ...]
    norms: dict[str, NormSummary]
    channels: tuple[ChannelEvidence, ...]
    moving: MovingEvidence | None = None
    margins: MarginEvidence | None = None
    last_layer: LastLayerEvidence | None = None
    reasons: tuple[str, ...]

    @property
    def kinds(self) -> dict[int, TriggerKind]:
        """Of each inverted label the most suspicious kind of trigger."""
        return {evidence.label: evidence.kind for evidence in self.searched}

    @property
    def searched(self) -> tuple[LabelEvidence, ...]:
        """The labels that were searched in full."""
        return tuple(row for row in self.labels if isinstance(row, LabelEvidence))

    @property
    def medians(self) -> dict[TriggerKind, float]:
        """Of each kind of trigger the median size of the reference labels, where there are any."""
        rows = self.searched
        sizes = {
            kind: [row.size_of(kind) for row in rows if row.of_kind(kind).reference]
            for kind in FAMILIES
        }
        return {kind: median(of_kind) for kind, of_kind in sizes.items() if of_kind}


class SweepRow(_Frozen):
    """What one threshold gives; rates are fractions. No threshold: the model as it came.

    For a guard or clip `channels_pruned` counts the channels that exceed their limit on some
    triggered image.
    """

    threshold: float | None
    channels_pruned: int
    accuracy: float
    attack_success_rate: float
    robust_accuracy: float


PruneOutcome = Literal[
    "written", "planned", "nothing-found", "inconclusive", "no-gain", "over-budget", "attack-left"
]


class PrunedConvolution(_Frozen):
    """A convolution that a criterion looked at.

    Attributes:
        name: of the tensor that holds its channels: what it gives or, where a batch
            normalisation alone reads that, what the normalisation gives.
        channels: how many it has.
        pruned: which of them are zero now.
    """

    name: str
    channels: int
    pruned: tuple[int, ...]


class PruneResult(Run):
    """What `harden prune` writes beside the hardened model.

    With named channels there is no sweep, no data and no accuracy: those fields are None.

    Attributes:
        outcome: `written` or, on a dry run, `planned`; otherwise why nothing was written:
            the scan found nothing or was inconclusive, no threshold within the budget lowers
            the attack success rate, or on the reporting images the budget does not hold or too
            much of the attack is left.
        threshold: the chosen one; in activation units of the criterion's norm, by linf-quantile
            a quantile, by linf-ratio a multiple of the clean maximum.
        layer: the feature layer; where the criterion looked at one convolution alone, that one's
            channels.
        channels: of that layer, pruned for good; none for a guard or clip.
        convolutions: what criteria that look at convolutions pruned of each.
        limits: one a channel, in activation units: what a guard zeroes above, or a clip lowers
            to; none where that is the threshold itself.
        alarm: whether the model has the further output `hardener_alarm`.
        hardened: what was written; None if nothing was.
        chosen_on: how many images the threshold was chosen on.
        reported_on: how many other images the before and after values are measured on.
        attack_success_rate_before: and after, of the synthetic trigger: of several targets the
            highest.
        within_budget: whether the accuracy lost on the reporting images is within the budget.
        notes: what has to be known of the model: outputs not looked at, ways around the layer.
    """

    model: ModelIdentity
    data: DataIdentity | None = None
    layer: Layer
    outcome: PruneOutcome
    criterion: str
    threshold: float | None = None
    rewrite: str
    channels: tuple[int, ...] = ()
    convolutions: tuple[PrunedConvolution, ...] = ()
    limits: tuple[float, ...] = ()
    alarm: bool = False
    sweep: tuple[SweepRow, ...] = ()
    chosen_on: int = 0
    reported_on: int = 0
    max_accuracy_drop: float | None = None
    max_attack_success: float | None = None
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    attack_success_rate_before: float | None = None
    attack_success_rate_after: float | None = None
    robust_accuracy_before: float | None = None
    robust_accuracy_after: float | None = None
    within_budget: bool | None = None
    notes: tuple[str, ...] = ()
    hardened: ModelIdentity | None = None

    @property
    def bounds(self) -> bool:
        """Whether the rewrite takes no channel out but bounds what passes its limit."""
        return self.rewrite in ("guard", "clip")

    @property
    def plan(self) -> dict[str, object]:
        """What was done, as the hardened model's metadata say it."""
        pruned = {one.name: one.pruned for one in self.convolutions if one.pruned}
        return {
            "layer": self.layer.name,
            "criterion": self.criterion,
            "threshold": self.threshold,
            "rewrite": self.rewrite,
            "channels": self.channels,
            **({"convolutions": pruned} if pruned else {}),
        }


class RepairRound(_Frozen):
    """One round of distilling and inverting again, measured on the choosing images.

    Attributes:
        triggers: how many synthetic triggers it distilled on.
        accuracy: on the clean images.
        attack_success_rate: of triggers found in another search than those it distilled on: of
            several targets the highest.
        robust_accuracy: under the same target's.
        strengthened_success_rate: of stronger versions of the same triggers, likewise.
        strengthened_tries: how many stamped images that rate was measured on.
        patch_relative_size: smallest patch that still reaches a target label and works, as a
            fraction of the median of all labels in the scan; None where none works.
        additive_relative_size: the same for the faintest additive trigger.
        warp_relative_size: the same for the slightest warp.
    """

    triggers: int
    accuracy: float
    attack_success_rate: float
    robust_accuracy: float
    strengthened_success_rate: float
    strengthened_tries: int
    patch_relative_size: float | None
    additive_relative_size: float | None
    warp_relative_size: float | None

    @property
    def relative_sizes(self) -> dict[TriggerKind, float]:
        """Of each kind of trigger that still works the smallest, beside the scan's median."""
        sizes = {kind: getattr(self, f"{kind}_relative_size") for kind in FAMILIES}
        return {kind: size for kind, size in sizes.items() if size is not None}


RepairOutcome = Literal["written", "nothing-found", "inconclusive", "over-budget", "attack-left"]


class RepairResult(Run):
    """What `harden repair` writes beside the repaired model.

    Attributes:
        outcome: `written`, or why nothing was: the scan found nothing or was inconclusive; no
            round holds the accuracy budget on the choosing images, or the chosen one not on the
            reporting images; or on those too much of the attack is left, or a small trigger
            still works.
        targets: the labels whose triggers were unlearned.
        rounds: in order; the first is the model as it came.
        chosen_round: position in `rounds` of what was written.
        images_used: how many images it was fitted on.
        chosen_on: how many others the round was chosen on.
        reported_on: how many others the before and after values are measured on.
        attack_success_rate_before: and after, of synthetic triggers that it was not fitted on: of
            several targets the highest.
        strengthened_success_rate_after: of stronger versions of those, likewise.
        scan_success_rate_after: of the scan's triggers of the kind that made each target
            suspicious, which it was fitted on, likewise.
        within_budget: whether the accuracy lost on the reporting images is within the budget.
        notes: what has to be known of the model.
        hardened: what was written; None if nothing was.
    """

    model: ModelIdentity
    data: DataIdentity
    layer: Layer
    outcome: RepairOutcome
    targets: tuple[int, ...]
    rounds: tuple[RepairRound, ...] = ()
    chosen_round: int | None = None
    images_used: int = 0
    chosen_on: int = 0
    reported_on: int = 0
    max_accuracy_drop: float
    max_attack_success: float
    accuracy_before: float | None = None
    accuracy_after: float | None = None
    attack_success_rate_before: float | None = None
    attack_success_rate_after: float | None = None
    robust_accuracy_before: float | None = None
    robust_accuracy_after: float | None = None
    strengthened_success_rate_after: float | None = None
    scan_success_rate_after: float | None = None
    within_budget: bool | None = None
    notes: tuple[str, ...] = ()
    hardened: ModelIdentity | None = None

    @property
    def plan(self) -> dict[str, object]:
        """What was done, as the hardened model's metadata say it."""
        return {"repair": "distillation", "targets": self.targets, "rounds": self.chosen_round}


class LatencyRow(_Frozen):
    """Times of one model at one batch size, in milliseconds, and its ratio to the first model."""

    provider: str
    batch_size: int
    threads: int
    warmup_runs: int
    timed_runs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    images_per_s: float
    ratio: Ratio


class ModelBench(_Frozen):
    """One model's row. Settings under test name the rates.

    Attributes:
        latency_ratio: to the first model, at batch 1, or at the batch that the model fixes.
    """

    path: PathText
    sha256: str
    accuracy: Rate
    attack_success_rate: dict[str, Rate]
    robust_accuracy: dict[str, Rate]
    latency: tuple[LatencyRow, ...]
    latency_ratio: Ratio
    file_bytes: int


class BenchResult(Run):
    """What `harden bench` writes.

    Attributes:
        model: the first of the models, which ratios compare with.
        target: the label that counts as a hit; None where no attack was tried.
        models: one row a model, as they were named.
    """

    model: ModelIdentity
    data: DataIdentity
    target: int | None
    models: tuple[ModelBench, ...]


class ExportResult(Document):
    """What `harden export` did: the largest difference of any logit from PyTorch's."""

    checkpoint: ModelIdentity
    model: ModelIdentity
    data: DataIdentity | None
    parity_images: int
    largest_difference: float


class ReportResult(Document):
    """What `harden report` wrote.

    Attributes:
        report: the page.
        bytes: its size.
        missing: what it would show besides if it had been given, as sentences.
    """

    model: ModelIdentity
    data: DataIdentity | None
    report: PathText
    bytes: int
    missing: tuple[str, ...]


class Inspection(Document):
    """What `harden inspect` understood.

    `layer_shape` is the feature layer's for one image, `head` the operators behind it, `plan` how
    the model was hardened, where it was; `notes` says what was chosen or assumed, `refusals` what
    cannot be done, and why.
    """

    model: ModelIdentity
    input: str
    channels: int
    size: tuple[int, int] | None
    layout: str
    element_type: str
    batch: int | None
    output: str
    outputs: tuple[str, ...]
    classes: int
    class_names: tuple[str, ...] | None
    preprocessing: dict[str, tuple[int, ...] | tuple[float, ...]]
    opset: int
    nodes: int
    parameters: int
    layer: Layer | None
    layer_shape: tuple[int, ...] | None
    head: tuple[str, ...]
    plan: str | None
    notes: tuple[str, ...]
    refusals: dict[str, str]


def tool_version() -> str:
    """The installed version of hardener."""
    try:
        return version("hardener")
    except PackageNotFoundError:
        return "0+checkout"
