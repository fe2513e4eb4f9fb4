"""What speaks against writing a repaired model, and what has to be said of it."""

from typing import Any

import numpy as np

from hardener.arrays import IntArray
from hardener.documents.repair import (
    NO_TRIGGER,
    AccuracyLost,
    AttackLeft,
    RepairOutcome,
    RepairResult,
    RepairRound,
)
from hardener.measuring.budget import within_budget
from hardener.measuring.intervals import paired_loss
from hardener.progress import Progress
from hardener.repairing.course import Cure
from hardener.repairing.residual import Probes, left_by, residual
from hardener.repairing.trials import Trial
from hardener.scanning.calibration import shipped
from hardener.scanning.evidence import LEAST_SUCCESS


def reached_anyway(result: RepairResult) -> tuple[str, ...]:
    """Labels to which more clean images go than the attack may keep."""
    return tuple(
        f"{row.success_rate:.1%} of the clean images {_where(row)} without any trigger: no repair "
        "brings what is left under that"
        for row in result.left
        if row.triggers == NO_TRIGGER and row.success_rate > result.max_attack_success
    )


def _where(row: AttackLeft) -> str:
    if row.label is None:
        return "go where the attack sends their label"
    return f"of other classes go to label {row.label}"


def is_blind(came: RepairRound) -> bool:
    """Whether no trigger that measures works on the model as it came."""
    return came.attack_success_rate < LEAST_SUCCESS


def too_few_to_tell(result: RepairResult) -> tuple[str, ...]:
    """Whether so few images can tell a loss as large as the budget."""
    lost = result.accuracy_lost
    if lost is None or lost.high - lost.value <= result.max_accuracy_drop:
        return ()
    return (
        f"so few images tell the accuracy lost to within {lost.high - lost.value:.1%}, which is "
        "more than the budget: give more for a surer answer",
    )


def objection(result: RepairResult, *scores: float) -> RepairOutcome | None:
    """What speaks against writing a repaired model, if anything does.

    Args:
        result: what was measured of it.
        scores: that a scan's searches would give it.
    """
    lost = result.accuracy_lost
    if lost is not None and not within_budget(lost.value, 0.0, result.max_accuracy_drop):
        return "over-budget"
    left = result.residual_success
    accused = max(scores, default=0.0) >= shipped().backdoored_from
    if accused or (left and (left.held_against or 0.0) > result.max_attack_success):
        return "attack-left"
    return None


def measurements(
    trial: Trial,
    came: Cure,
    cure: Cure,
    tried: Probes,
    positions: tuple[IntArray, IntArray],
    groups: IntArray,
    progress: Progress,
) -> dict[str, Any]:
    """The result's fields that come from the reporting images.

    Args:
        trial: how models are measured.
        came: the model as it came.
        cure: the chosen one.
        tried: triggers.
        positions: of the choosing and of the reporting images.
        groups: (N,) which of all images are alike.
        progress: told how far it is.
    """
    progress("reporting", 0, 2)
    reported_on = positions[1]
    before, _ = trial.counts(came.proto, reported_on)
    progress("reporting", 1, 2)
    flat = [trigger for of_name in tried.values() for trigger in of_name]
    after, counts = trial.counts(cure.proto, reported_on, flat)
    progress("reporting", 2, 2)
    by_trigger = dict(zip(flat, counts, strict=True))
    lost = paired_loss(
        np.concatenate([came.right, before.right]),
        np.concatenate([cure.right, after.right]),
        groups[np.concatenate(positions)],
    )
    fields: dict[str, Any] = {
        "reported_on": before.clean.n,
        "accuracy_lost": AccuracyLost(**lost._asdict()),
        "left": left_by(tried, by_trigger, trial.rules),
        "residual_success": residual(tried, by_trigger),
    }
    for word, attacked in (("before", before), ("after", after)):
        clean, unseen = attacked.clean, attacked.unseen
        fields[f"accuracy_{word}"] = clean.correct / clean.n
        fields[f"attack_success_rate_{word}"] = unseen.success_rate
        fields[f"robust_accuracy_{word}"] = unseen.robust_accuracy
    return fields
