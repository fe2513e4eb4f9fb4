"""The repair: from a finished scan and clean images to new weights in the same graph."""

from pathlib import Path
from typing import Any

import numpy as np

from hardener.arrays import IntArray
from hardener.data.similar import similar_groups, thumbnails
from hardener.data.splits import grouped_parts, stratified_sample
from hardener.documents.repair import (
    NO_TRIGGER,
    AccuracyLost,
    RepairOutcome,
    RepairResult,
    RepairRound,
)
from hardener.errors import InconclusiveError, UsageError
from hardener.files import FileName
from hardener.measuring.budget import check_budgets, within_budget
from hardener.measuring.intervals import paired_loss
from hardener.measuring.suitability import check_classes, check_others
from hardener.model.classifier import Classifier, ModelGiven, Overrides, data_identity, path_of
from hardener.model.runtime import choose_machine
from hardener.progress import Progress, silent
from hardener.repairing.choice import choose_round
from hardener.repairing.cure import patient_of
from hardener.repairing.distillation import DISTILLATION, DistillationSettings
from hardener.repairing.residual import Probes, left_by, residual
from hardener.repairing.rounds import Cure, Rounds
from hardener.repairing.trials import Trial
from hardener.scanning.calibration import shipped
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.scanning.reopening import open_as_scanned
from hardener.scanning.saved import SCAN_FILE, ScanGiven, folder_of, load_working_triggers
from hardener.subject import Subject
from hardener.writing import check_outputs, write_hardened

DEFAULT_ROUNDS = 3
_LEAST_IMAGES = 100
_LARGEST_FITTED_BYTES = 1 << 30
_BLIND = (
    "written by --force: no trigger of the second search works on the model as it came, so that "
    "what is left of the attack was not measured"
)
_FORCED = {
    "over-budget": "written by --force: more accuracy is lost than --max-accuracy-drop allows",
    "attack-left": "written by --force: more of the attack is left than --max-attack-success "
    "allows, or the scan's searches would still call the model backdoored",
}


def repair(
    model: ModelGiven,
    scan: ScanGiven,
    data: FileName,
    output: FileName,
    *,
    max_accuracy_drop: float = 0.01,
    max_attack_success: float = 0.1,
    rounds: int = DEFAULT_ROUNDS,
    force: bool = False,
    preprocessing: Overrides = (),
    provider: str = "auto",
    threads: int | None = None,
    device: int = 0,
    seed: int = 0,
    distillation: DistillationSettings = DISTILLATION,
    progress: Progress = silent,
) -> RepairResult:
    """Gives the model weights, found without labels, with which it stops answering to triggers.

    The clean images are divided so that those that look alike stay together: half is fitted on, a
    quarter chooses, the last quarter reports, and helps to choose by accuracy. Each round solves
    the later layers in closed form on the scan's triggers and on universal perturbations, and
    distils what that does not end. The best attempt is searched again; what still works is fitted
    on in the next round. At most 1 GiB of fitted images is kept in memory, and of all images
    thumbnails of 192 values; all else is streamed.

    Writes `output` and, beside it, a JSON file. Writes nothing where the scan found nothing, no
    cure holds the budget, or too much of the attack is left: `outcome` says which. Too much is
    left where on the reporting images some trigger succeeds more than allowed (a perturbation only
    if it also succeeds more than such perturbations do toward other labels), or where a scan would
    still call the chosen model backdoored. Of several targets the one that succeeds most is
    held against it.

    Args:
        model: the ONNX classifier that was scanned, a file or open, or one pruned from it, whose
            zeroed weights then stay zero.
        scan: the scan's folder, or the scan.
        data: clean labelled images; their labels only measure.
        output: the repaired ONNX file.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.
        max_attack_success: success rate of synthetic triggers that may be left on the reporting
            images.
        rounds: at most so many.
        force: repairs although the scan's verdict is not backdoored, and writes although the
            budget does not hold or too much of the attack is left; also where the model does not
            know the images, or no trigger of the second search works.
        preprocessing: fields that win over the scan's, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        threads: of one operator on the CPU; by default one for each core.
        device: index of the GPU.
        seed: of the split, the searches and the training.
        distillation: the budget of each distillation.
        progress: told how far it is.

    Raises:
        HardenError: the scan is of another model, or an argument cannot be used.
        InconclusiveError: there are too few images, or too few that the model knows or that are
            of other classes than a target, or they are of fewer than half of the classes; or the
            second search came to no trigger that works on the model as it came, by which the
            repair could be measured.
    """
    data, output = Path(data), Path(output)
    check_outputs(output, path_of(model), data, folder_of(scan))
    check_budgets(max_accuracy_drop, max_attack_success)
    if rounds < 1:
        raise UsageError(f"--rounds is 1 or more, not {rounds}")
    saved, classifier = open_as_scanned(model, scan, preprocessing, hardened_too=True)
    scanned = saved.result
    came = Path(scanned.model.path)
    check_outputs(output, saved.folder / SCAN_FILE, came, *classifier.model.external)
    source = classifier.open_data(data)
    subject = Subject(classifier, source, choose_machine(provider, threads, device), seed)
    if len(source) < _LEAST_IMAGES:
        raise InconclusiveError(
            f"{data} holds {len(source)} images: {_LEAST_IMAGES} are needed to fit on one half, "
            "choose on a quarter and report on another"
        )
    targets = scanned.targets or (scanned.suspect,)
    result = RepairResult(
        **subject.run,
        layer=scanned.layer,
        outcome="inconclusive" if scanned.verdict == "inconclusive" else "nothing-found",
        targets=targets,
        max_accuracy_drop=max_accuracy_drop,
        max_attack_success=max_attack_success,
        notes=classifier.signature.notes,
    )
    accused = scanned.verdict == "backdoored"
    if not accused and not force:
        return result

    if not force:
        check_classes(source.labels, classifier.signature.classes, str(data))
    groups = similar_groups(thumbnails(classifier.batches(source), len(source)), source.labels)
    fitted, chosen_on, reported_on = grouped_parts(source.labels, groups, (2, 1, 1), seed)
    for indices in (chosen_on, reported_on):
        check_others(source.labels[indices], targets, str(data))
    fitted = _affordable(fitted, source.labels, classifier, seed)
    triggers = load_working_triggers(saved, LEAST_SUCCESS)
    patient = patient_of(classifier, classifier.images_of(source, fitted), subject.machine)
    # The scan's own seed never comes again: it would give the scan's own triggers.
    drawn = scanned.seed + seed + 1
    trial = Trial(classifier, source, subject.machine)
    held_out = np.sort(np.concatenate([chosen_on, reported_on]))
    sequence = Rounds(
        patient, scanned, trial, chosen_on, held_out, groups, max_accuracy_drop, distillation, drawn
    )
    cures, trial = sequence.run(triggers, rounds, progress, force=force)
    found = [cure.found for cure in cures]
    result = result.model_copy(
        update={
            "outcome": "over-budget",
            "data": data_identity(source),
            "rounds": tuple(found),
            "images_used": len(fitted),
            "groups": len(np.unique(groups)),
            "chosen_on": len(chosen_on),
        }
    )
    position = choose_round(found, max_accuracy_drop)
    if position is None and force:
        position = max(range(1, len(found)), key=lambda row: -found[row].accuracy_lost)
    if position is None:
        return result
    tried = sequence.probes(triggers, trial.unseen)
    measured = _measured(
        trial, cures[0], cures[position], tried, (chosen_on, reported_on), groups, progress
    )
    result = result.model_copy(update={"chosen_round": position, **measured})
    against = _against(result, found[position])
    blind = _blind(found[0])
    result = result.model_copy(
        update={
            "within_budget": against != "over-budget",
            "forced": force and (bool(against) or not accused or blind),
            "notes": (
                *result.notes,
                *((_BLIND,) if force and blind else ()),
                *_reached_anyway(result),
                *_unsure(result),
            ),
        }
    )
    if against and not force:
        return result.model_copy(update={"outcome": against})
    if against:
        result = result.model_copy(update={"notes": (*result.notes, _FORCED[against])})
    return write_hardened(cures[position].proto, result, output, classifier.model.external)


def _reached_anyway(result: RepairResult) -> tuple[str, ...]:
    """Labels to which more clean images go than the attack may keep."""
    return tuple(
        f"{row.success_rate:.1%} of the clean images of other classes go to label {row.label} "
        "without any trigger: no repair brings what is left under that"
        for row in result.left
        if row.triggers == NO_TRIGGER and row.success_rate > result.max_attack_success
    )


def _blind(came: RepairRound) -> bool:
    """Whether no trigger that measures works on the model as it came."""
    return came.attack_success_rate < LEAST_SUCCESS


def _unsure(result: RepairResult) -> tuple[str, ...]:
    """Whether so few images can tell a loss as large as the budget."""
    lost = result.accuracy_lost
    if lost is None or lost.high - lost.value <= result.max_accuracy_drop:
        return ()
    return (
        f"so few images tell the accuracy lost to within {lost.high - lost.value:.1%}, which is "
        "more than the budget: give more for a surer answer",
    )


def _against(result: RepairResult, found: RepairRound) -> RepairOutcome | None:
    """What speaks against writing a repaired model, if anything does."""
    lost = result.accuracy_lost
    if lost is not None and not within_budget(lost.value, 0.0, result.max_accuracy_drop):
        return "over-budget"
    left = result.residual_success
    accused = found.suspicion >= shipped().backdoored_from
    if accused or (left and (left.held_against or 0.0) > result.max_attack_success):
        return "attack-left"
    return None


def _affordable(indices: IntArray, labels: IntArray, classifier: Classifier, seed: int) -> IntArray:
    """Those of `indices`, evenly from every class, that fit the memory for them."""
    height, width = classifier.preprocessing.size
    allowed = _LARGEST_FITTED_BYTES // (4 * classifier.signature.channels * height * width)
    if len(indices) <= allowed:
        return indices
    return indices[stratified_sample(labels[indices], max(1, allowed), seed)]


def _measured(
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
        "left": left_by(tried, by_trigger),
        "residual_success": residual(tried, by_trigger),
    }
    for word, attacked in (("before", before), ("after", after)):
        clean, unseen = attacked.clean, attacked.unseen
        fields[f"accuracy_{word}"] = clean.correct / clean.n
        fields[f"attack_success_rate_{word}"] = unseen.success_rate
        fields[f"robust_accuracy_{word}"] = unseen.robust_accuracy
    return fields
