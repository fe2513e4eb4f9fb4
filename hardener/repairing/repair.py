"""The repair: from a finished scan and clean images to new weights in the same graph."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from hardener.arrays import IntArray
from hardener.documents.repair import (
    AccuracyLost,
    RepairResult,
)
from hardener.errors import InconclusiveError, UsageError
from hardener.files import FileName
from hardener.measuring.budget import check_budgets
from hardener.measuring.intervals import paired_loss
from hardener.measuring.suitability import check_classes
from hardener.model.classifier import ModelGiven, Overrides, data_identity, path_of
from hardener.model.runtime import choose_machine
from hardener.progress import Progress, silent
from hardener.repairing.case import Case, affordable, case_of
from hardener.repairing.choice import choose_round
from hardener.repairing.cure import patient_of
from hardener.repairing.distillation import DISTILLATION, DistillationSettings
from hardener.repairing.exchanges import Exchanges
from hardener.repairing.graph_logic import (
    Removal,
    accused_otherwise,
    remove_graph_logic,
)
from hardener.repairing.judging import (
    is_blind,
    measurements,
    objection,
    reached_anyway,
    too_few_to_tell,
)
from hardener.repairing.rounds import Rounds
from hardener.scanning.calibration import shipped
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.scanning.found_exchanges import exchanges_labels
from hardener.scanning.reopening import open_as_scanned
from hardener.scanning.saved import (
    SCAN_FILE,
    ScanGiven,
    folder_of,
    load_exchanging,
    load_working_triggers,
    require_target,
)
from hardener.scanning.screening import scattered
from hardener.subject import Subject
from hardener.triggers.family import SyntheticTrigger
from hardener.writing import check_outputs, write_hardened

DEFAULT_ROUNDS = 3
_LEAST_IMAGES = 100
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
    exchanged = exchanges_labels(scanned)
    if not exchanged and not scanned.graph_logic:
        require_target(saved)
    came = Path(scanned.model.path)
    check_outputs(output, saved.folder / SCAN_FILE, came, *classifier.model.external)
    source = classifier.open_data(data)
    subject = Subject(classifier, source, choose_machine(provider, threads, device), seed)
    if len(source) < _LEAST_IMAGES:
        raise InconclusiveError(
            f"{data} holds {len(source)} images: {_LEAST_IMAGES} are needed to fit on one half, "
            "choose on a quarter and report on another"
        )
    targets = scanned.targets or (() if exchanged else (scanned.suspect,))
    result = RepairResult(
        **subject.run,
        layer=scanned.layer,
        outcome="inconclusive" if scanned.verdict == "inconclusive" else "nothing-found",
        targets=targets,
        max_accuracy_drop=max_accuracy_drop,
        max_attack_success=max_attack_success,
        notes=classifier.signature.notes,
    )
    in_graph = bool(scanned.graph_logic)
    if scanned.verdict != "backdoored" and not in_graph and not force:
        return result

    if not force:
        check_classes(source.labels, classifier.signature.classes, str(data))
    case = case_of(subject, saved)
    proto: onnx.ModelProto | None = None
    if in_graph:
        removal = remove_graph_logic(subject, case.fitted, case.held_out)
        result = _with_removal(result, removal, str(data))
        case = replace(case, subject=removal.subject)
        if not accused_otherwise(scanned):
            proto, result = _without_logic(case, subject, result, force=force)
    if not in_graph or accused_otherwise(scanned):
        proto, result = _cured(case, result, rounds, distillation, progress, force=force)
    if proto is None:
        return result
    return write_hardened(proto, result, output, classifier.model.external)


def _cured(
    case: Case,
    result: RepairResult,
    rounds: int,
    distillation: DistillationSettings,
    progress: Progress,
    *,
    force: bool,
) -> tuple[onnx.ModelProto | None, RepairResult]:
    """The model with new weights, or None where nothing is to be written, and the result."""
    subject, scanned = case.subject, case.saved.result
    classifier, budget = subject.classifier, result.max_accuracy_drop
    fitted = affordable(case.fitted, case.source.labels, classifier, subject.seed)
    classes = classifier.signature.classes
    missing = np.setdiff1d(np.arange(classes), case.source.labels[fitted])
    patient = replace(
        patient_of(classifier, classifier.images_of(case.source, fitted), subject.machine),
        knows_all=not len(missing),
    )
    # The scan's own seed never comes again: it would give the scan's own triggers.
    drawn = scanned.seed + subject.seed + 1
    kind = Exchanges if exchanges_labels(scanned) else Rounds
    sequence = kind(
        patient,
        scanned,
        case.trial,
        case.chosen_on,
        case.held_out,
        case.groups,
        budget,
        distillation,
        drawn,
    )
    triggers, exchanges = _scanned_triggers(case), load_exchanging(case.saved)
    cures, trial = sequence.run(triggers, rounds, progress, force=force)
    found = [cure.found for cure in cures]
    result = result.model_copy(
        update={
            "outcome": "over-budget",
            "data": data_identity(case.source),
            "rounds": tuple(found),
            "images_used": len(fitted),
            "groups": len(np.unique(case.groups)),
            "chosen_on": len(case.chosen_on),
            "notes": (*result.notes, *_unknown_classes(missing)),
        }
    )
    position = choose_round(found, budget)
    if position is None and force:
        position = max(range(1, len(found)), key=lambda row: -found[row].accuracy_lost)
    if position is None:
        return None, result
    tried = sequence.probes(triggers, trial)
    parts = case.chosen_on, case.reported_on
    measured = measurements(trial, cures[0], cures[position], tried, parts, case.groups, progress)
    result = result.model_copy(update={"chosen_round": position, **measured})
    blind = is_blind(found[0]) and not exchanges_labels(scanned)
    exchange = _exchange_left(case, cures[position].proto, exchanges)
    against = objection(result, found[position].suspicion, exchange)
    accused = scanned.verdict == "backdoored"
    result = result.model_copy(
        update={
            "within_budget": against != "over-budget",
            "forced": force and (bool(against) or not accused or blind),
            "notes": (
                *result.notes,
                *((_BLIND,) if force and blind else ()),
                *reached_anyway(result),
                *too_few_to_tell(result),
                *((_FORCED[against],) if force and against else ()),
            ),
        }
    )
    if against and not force:
        return None, result.model_copy(update={"outcome": against})
    return cures[position].proto, result


def _unknown_classes(missing: IntArray) -> tuple[str, ...]:
    """What has to be known of classes that no fitted image is of."""
    if not len(missing):
        return ()
    few = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
    return (
        f"no image to fit on is of class {few}: what a repair costs there was not measured, and "
        "what sleeps on all images was not cut off, for it may know them",
    )


def _exchange_left(
    case: Case, proto: onnx.ModelProto, triggers: Sequence[SyntheticTrigger]
) -> float:
    """The scan's score of a model by what exchanged labels on the one that came."""
    if not triggers:
        return 0.0
    own, *gone = case.trial.predicted(proto, triggers, case.chosen_on)
    return shipped().moving_score(max(scattered(own, after) for after in gone))


def _scanned_triggers(case: Case) -> list[SyntheticTrigger]:
    """What the scan found that works."""
    scanned = case.saved.result
    if exchanges_labels(scanned):
        return list(load_exchanging(case.saved))
    return list(load_working_triggers(case.saved, LEAST_SUCCESS))


def _without_logic(
    case: Case, came: Subject, result: RepairResult, *, force: bool
) -> tuple[onnx.ModelProto | None, RepairResult]:
    """The model where a removal is all that was done, or None over budget, and the result."""
    proto = case.subject.classifier.proto
    before, _ = case.trial.counts(came.classifier.proto, case.held_out)
    after, _ = case.trial.counts(proto, case.held_out)
    lost = paired_loss(before.right, after.right, case.groups[case.held_out])
    result = result.model_copy(
        update={
            "data": data_identity(case.source),
            "targets": case.saved.result.targets,
            "groups": len(np.unique(case.groups)),
            "reported_on": before.clean.n,
            "accuracy_before": before.clean.correct / before.clean.n,
            "accuracy_after": after.clean.correct / after.clean.n,
            "accuracy_lost": AccuracyLost(**lost._asdict()),
        }
    )
    against = objection(result)
    result = result.model_copy(
        update={"within_budget": not against, "forced": bool(force and against)}
    )
    if against and not force:
        return None, result.model_copy(update={"outcome": against})
    return proto, result


def _with_removal(result: RepairResult, removal: Removal, data: str) -> RepairResult:
    """The result of a repair that begins with a removal.

    Raises:
        InconclusiveError: there is nothing to remove.
    """
    if not removal.logic:
        raise InconclusiveError(
            f"what the scan found in the graph is not the same on all images of {data}, or cannot "
            "be taken out of it: repair with the scan's images, or do not ship the model"
        )
    return result.model_copy(update={"removed": removal.logic, "removal_changed": removal.change})
