"""What a threshold is chosen with, and what comes of the choice before it is reported on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx

from hardener.arrays import IntArray
from hardener.data.images import ImageSource
from hardener.data.settings import CLEAN
from hardener.data.splits import stratified_sample
from hardener.documents.prune import SweepRow
from hardener.errors import InconclusiveError
from hardener.measuring.quality import Probe
from hardener.model.classifier import Classifier
from hardener.model.runtime import Machine
from hardener.progress import Progress
from hardener.pruning.choice import attacked, choose
from hardener.pruning.sweep import Trial

LEAST_IMAGES = 100
CHECKED_IMAGES = 64
LARGEST_KEPT_BYTES = 2 << 30


@dataclass(frozen=True, eq=False)
class Choosing:
    """What a threshold is chosen with.

    Attributes:
        classifier: the model.
        source: clean labelled images.
        indices: positions of those that choose.
        probes: `CLEAN` and at least one attack, by name.
        threshold: the only one to try; None to choose one.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.
        force: takes the given threshold even where it does not help.
        machine: what runs the model.
        seed: of every draw.
        progress: told how far it is.
    """

    classifier: Classifier
    source: ImageSource
    indices: IntArray
    probes: Mapping[str, Probe]
    threshold: float | None
    max_accuracy_drop: float
    force: bool
    machine: Machine
    seed: int
    progress: Progress


@dataclass(frozen=True, eq=False)
class Candidate:
    """The pruning that was chosen.

    Attributes:
        sweep: one row for each pruning that was tried.
        chosen_on: how many images chose.
        hardened: the rewritten and checked model; None where no pruning helps within the budget.
        fields: of the result, what was pruned.
    """

    sweep: tuple[SweepRow, ...]
    chosen_on: int
    hardened: onnx.ModelProto | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


def chosen_position(choosing: Choosing, trials: Sequence[Trial]) -> int | None:
    """Position of the pruning to write; None where none helps. The first trial prunes nothing."""
    if choosing.threshold is None:
        return choose(CLEAN, trials, choosing.max_accuracy_drop)
    helps = attacked(CLEAN, trials[1]).hits < attacked(CLEAN, trials[0]).hits
    return 1 if helps or choosing.force else None


def sweep_row(threshold: float | None, channels_pruned: int, trial: Trial) -> SweepRow:
    """One pruning as a result tells it."""
    clean, attack = trial.counts[CLEAN], attacked(CLEAN, trial)
    return SweepRow(
        threshold=threshold,
        channels_pruned=channels_pruned,
        accuracy=clean.correct / clean.n,
        attack_success_rate=attack.success_rate,
        robust_accuracy=attack.robust_accuracy,
    )


def affordable(
    indices: IntArray, labels: IntArray, image_bytes: int, seed: int, what: str
) -> IntArray:
    """Those of `indices`, evenly from every class, whose tensors fit the memory for them.

    Args:
        indices: positions of the choosing images.
        labels: (N,) true labels of all images.
        image_bytes: that the tensors of one image take, under all settings.
        seed: of the draw.
        what: they are, for the message.

    Raises:
        InconclusiveError: they are so large that too few images would choose.
    """
    allowed = LARGEST_KEPT_BYTES // max(1, image_bytes)
    if len(indices) <= allowed:
        return indices
    if allowed < LEAST_IMAGES // 2:
        raise InconclusiveError(
            f"the {what} of one image take {image_bytes >> 20} MiB: only {allowed} images "
            f"fit the memory for them, {LEAST_IMAGES // 2} are needed to choose a threshold; "
            "name channels with --channels"
        )
    return indices[stratified_sample(labels[indices], allowed, seed)]


def checked_indices(indices: IntArray) -> IntArray:
    """Some of the choosing images, evenly spread, on which a rewritten model is checked."""
    return indices[:: max(1, len(indices) // CHECKED_IMAGES)][:CHECKED_IMAGES]
