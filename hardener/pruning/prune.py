"""Pruning: from a finished scan and clean images to a hardened file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hardener.data.settings import CLEAN
from hardener.data.splits import stratified_halves
from hardener.documents.identity import Layer
from hardener.documents.prune import PruneOutcome, PruneResult
from hardener.errors import InconclusiveError, UsageError
from hardener.files import FileName
from hardener.measuring.budget import check_budgets, within_budget
from hardener.measuring.quality import Counts, Probe, measure, most_successful
from hardener.measuring.suitability import check_accuracy, check_classes, check_others
from hardener.model.classifier import (
    Classifier,
    ModelGiven,
    Overrides,
    data_identity,
    open_full,
    path_of,
)
from hardener.model.convolutions import Convolution, find_convolutions
from hardener.model.rewriting import REWRITES, check_rewrite, default_rewrite
from hardener.model.runtime import choose_machine
from hardener.model.topology import FeatureLayer, find_feature_layer
from hardener.progress import Progress, counting, silent
from hardener.pruning.candidate import LEAST_IMAGES, Choosing
from hardener.pruning.convolution_pruning import convolution_candidate
from hardener.pruning.convolution_scores import CONVOLUTION_CRITERIA, looked_at
from hardener.pruning.criteria import CRITERIA
from hardener.pruning.layer_pruning import layer_candidate
from hardener.pruning.limits import LIMIT_CRITERIA
from hardener.scanning.reopening import open_as_scanned
from hardener.scanning.saved import (
    SCAN_FILE,
    ScanGiven,
    folder_of,
    load_synthetic_triggers,
    require_target,
)
from hardener.subject import Subject
from hardener.triggers.family import SyntheticTrigger
from hardener.writing import check_outputs, write_hardened

_LARGEST_THRESHOLD = float(np.finfo(np.float32).max)


def prune(
    model: ModelGiven,
    scan: ScanGiven,
    data: FileName,
    output: FileName,
    *,
    criterion: str | None = None,
    threshold: float | None = None,
    max_accuracy_drop: float = 0.02,
    max_attack_success: float = 0.1,
    rewrite: str | None = None,
    alarm: bool = False,
    layer: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    preprocessing: Overrides = (),
    provider: str = "auto",
    threads: int | None = None,
    device: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> PruneResult:
    """Prunes the channels that answer to the scan's synthetic triggers.

    The clean images are split in two: the threshold is chosen on one half and the result
    reported on the other. Of the choosing half no more images are used, evenly from every class,
    than have feature maps, or network inputs, that fit 2 GiB of memory.

    Writes `output` and, beside it, a JSON file. Writes nothing on
    `dry_run`, where the scan found nothing, where no threshold within the budget lowers the
    attack success rate, or where on the reporting half the budget does not hold or too much of
    the attack is left: `outcome` says which.

    Args:
        model: the ONNX classifier that was scanned, a file or open.
        scan: the scan's folder, or the scan.
        data: clean labelled images.
        output: the hardened ONNX file.
        criterion: of the feature layer linf, linf-gap, l1 or l2, by default linf-gap; for a guard
            linf (the default), linf-quantile or linf-ratio; for a clip the same three, by default
            linf-ratio; of convolutions fine-pruning, clp, anp or rnp.
        threshold: fixes the threshold instead of choosing one.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.
        max_attack_success: success rate of the synthetic trigger that may be left on the reporting
            half.
        rewrite: fold, mask, slim, guard or clip; by default fold, or mask where the graph cannot
            take it.
        alarm: gives a guard a further output, `hardener_alarm`.
        layer: the one convolution that fine-pruning, clp, anp or rnp looks at, by the name of its
            node or of the tensor that holds its channels; by default fine-pruning looks at the
            last one, the others at all.
        dry_run: measures and decides, but writes nothing.
        force: prunes although the scan's verdict is not backdoored, and writes although the
            budget does not hold or too much of the attack is left.
        preprocessing: fields that win over the scan's, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        threads: of one operator on the CPU; by default one for each core.
        device: index of the GPU.
        seed: of the split and of what a criterion draws.
        progress: told how far it is.

    Raises:
        HardenError: the scan is of another model, or an argument cannot be used.
        InconclusiveError: there are too few images, or too few that the model knows or that are
            of other classes than a target, or they are of fewer than half of the classes; or what
            the scan found is nothing that pruning ends.

    Source: Cheng et al. 2020, section 5; the criteria of convolutions name their own.
    """
    data, output = Path(data), Path(output)
    check_outputs(output, path_of(model), data, folder_of(scan))
    _check_arguments(rewrite, threshold, max_accuracy_drop, max_attack_success, alarm=alarm)
    criterion = _checked_criterion(criterion, rewrite, threshold, layer)
    saved, classifier = open_as_scanned(model, scan, preprocessing)
    require_target(saved)
    scanned = saved.result
    if scanned.graph_logic:
        raise InconclusiveError(
            f"{saved.folder} found a value that is computed from the pixels and never changes "
            f"({scanned.graph_logic[0]}): no pruning of channels takes that out of the graph, "
            "harden repair does"
        )
    check_outputs(output, saved.folder / SCAN_FILE, *classifier.model.external)
    feature, convolutions, notes = _places(classifier, criterion, scanned.layer.name, layer)
    rewrite = rewrite or _default_rewrite(classifier, criterion, feature)
    source = classifier.open_data(data)
    subject = Subject(classifier, source, choose_machine(provider, threads, device), seed)
    chosen_on, reported_on = stratified_halves(source.labels, seed)
    if len(source) < LEAST_IMAGES:
        raise InconclusiveError(
            f"{data} holds {len(source)} images: {LEAST_IMAGES} are needed to choose a threshold "
            "on one half and report on the other"
        )
    result = PruneResult(
        **subject.run,
        layer=Layer(name=feature.name, channels=feature.channels, axis=feature.axis),
        outcome="inconclusive" if scanned.verdict == "inconclusive" else "nothing-found",
        criterion=criterion,
        rewrite=rewrite,
        max_accuracy_drop=max_accuracy_drop,
        max_attack_success=max_attack_success,
        notes=(*classifier.signature.notes, *notes),
    )
    if scanned.verdict != "backdoored" and not force:
        return result

    if not force:
        check_classes(source.labels, classifier.signature.classes, str(data))
    triggers = load_synthetic_triggers(saved)
    for indices in (chosen_on, reported_on):
        targets = tuple(trigger.label for trigger in triggers)
        check_others(source.labels[indices], targets, str(data))
    probes = _probes(triggers)
    choosing = Choosing(
        classifier,
        source,
        chosen_on,
        probes,
        threshold,
        max_accuracy_drop,
        force,
        subject.machine,
        seed,
        progress,
    )
    candidate = (
        convolution_candidate(choosing, criterion, convolutions)
        if convolutions
        else layer_candidate(choosing, criterion, feature, rewrite, alarm=alarm)
    )
    if not force and candidate.sweep:
        check_accuracy(candidate.sweep[0].accuracy, scanned.accuracy, str(data))
    result = result.model_copy(
        update={
            "outcome": "no-gain",
            "data": data_identity(source),
            "sweep": candidate.sweep,
            "chosen_on": candidate.chosen_on,
        }
    )
    if candidate.hardened is None:
        return result
    before, after = (
        measure(
            classifier,
            open_full(proto, classifier.signature, subject.machine),
            source,
            probes,
            indices=reported_on,
            on_batch=counting(progress, f"measuring {name}", len(reported_on)),
        )
        for name, proto in (
            ("the original", classifier.proto),
            ("the hardened model", candidate.hardened),
        )
    )
    report = _report(before, after, max_accuracy_drop)
    outcome = "planned" if force else _outcome(report, max_attack_success)
    result = result.model_copy(
        update={
            "outcome": outcome,
            "data": data_identity(source),
            **candidate.fields,
            **report,
        }
    )
    if dry_run or outcome != "planned":
        return result
    return write_hardened(candidate.hardened, result, output, classifier.model.external)


def _places(
    classifier: Classifier, criterion: str, scanned: str, named: str | None
) -> tuple[FeatureLayer, tuple[Convolution, ...], tuple[str, ...]]:
    """What the result calls its layer, the convolutions to look at if any, and notes on them."""
    proto, signature, shapes = classifier.proto, classifier.signature, classifier.model.shapes
    feature = find_feature_layer(proto, signature, shapes, scanned)
    if criterion not in CONVOLUTION_CRITERIA:
        return feature, (), feature.notes
    found = find_convolutions(proto, signature, shapes)
    convolutions = looked_at(criterion, found, named)
    if len(convolutions) == 1:
        return convolutions[0].layer, convolutions, found.notes
    return feature, convolutions, found.notes


def _default_rewrite(classifier: Classifier, criterion: str, feature: FeatureLayer) -> str:
    if criterion in CONVOLUTION_CRITERIA:
        return "fold"
    example = classifier.signature.example(classifier.preprocessing.size)
    return default_rewrite(
        classifier.proto, classifier.signature, feature, classifier.model.shapes, example
    )


def _probes(triggers: Sequence[SyntheticTrigger]) -> dict[str, Probe]:
    attacks = {f"clean+syn {t.label}": Probe((t,), t.label) for t in triggers}
    return {CLEAN: Probe(), **attacks}


def _check_arguments(
    rewrite: str | None,
    threshold: float | None,
    max_accuracy_drop: float,
    max_attack_success: float,
    *,
    alarm: bool,
) -> None:
    if rewrite is not None:
        check_rewrite(rewrite)
    if alarm and not (rewrite is not None and REWRITES[rewrite].gives_alarm):
        raise UsageError("--alarm is an output of a guard: it goes with --rewrite guard")
    check_budgets(max_accuracy_drop, max_attack_success)
    if threshold is not None and not abs(threshold) < _LARGEST_THRESHOLD:
        raise UsageError(f"--threshold is a finite number, not {threshold}")


def _checked_criterion(
    criterion: str | None, rewrite: str | None, threshold: float | None, layer: str | None
) -> str:
    """The criterion, where rewrite, threshold and layer fit it."""
    written_by = REWRITES[rewrite or "fold"]
    limiting = written_by.limiting
    known = tuple(LIMIT_CRITERIA) if limiting else (*CRITERIA, *CONVOLUTION_CRITERIA)
    if criterion is None:
        criterion = written_by.criterion
    if criterion not in known:
        raise UsageError(
            f"no criterion {criterion!r} for --rewrite {rewrite or 'fold or mask'}: use one of "
            f"{', '.join(known)}"
        )
    if criterion in CONVOLUTION_CRITERIA:
        if rewrite not in (None, "fold"):
            raise UsageError(
                f"--criterion {criterion} zeroes weights of convolutions: it goes with --rewrite "
                f"fold, not {rewrite}"
            )
    elif layer is not None:
        raise UsageError(
            "with --scan --layer names a convolution for --criterion "
            f"{', '.join(CONVOLUTION_CRITERIA)}; {criterion} uses the scan's layer"
        )
    if limiting and threshold is not None:
        found = LIMIT_CRITERIA[criterion]
        if not 0 <= threshold <= found.highest:
            raise UsageError(
                f"--threshold with --criterion {criterion} is {found.meaning}, not {threshold:g}"
            )
    return criterion


def _outcome(report: Mapping[str, Any], max_attack_success: float) -> PruneOutcome:
    if not report["within_budget"]:
        return "over-budget"
    left = report["attack_success_rate_after"] > max_attack_success
    return "attack-left" if left else "planned"


def _report(
    before: Mapping[str, Counts], after: Mapping[str, Counts], max_accuracy_drop: float
) -> dict[str, Any]:
    """The result's fields that come from the reporting half."""
    fields: dict[str, Any] = {"reported_on": before[CLEAN].n}
    for word, counts in (("before", before), ("after", after)):
        worst = most_successful(c for name, c in counts.items() if name != CLEAN)
        fields[f"accuracy_{word}"] = counts[CLEAN].correct / counts[CLEAN].n
        fields[f"attack_success_rate_{word}"] = worst.success_rate
        fields[f"robust_accuracy_{word}"] = worst.robust_accuracy
    fields["within_budget"] = within_budget(
        fields["accuracy_before"], fields["accuracy_after"], max_accuracy_drop
    )
    return fields
