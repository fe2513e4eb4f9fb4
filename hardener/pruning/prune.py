"""Pruning: from a finished scan and clean images to a hardened file."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from hardener.arrays import IntArray
from hardener.cores import available_cores
from hardener.data.images import ImageSource
from hardener.data.settings import CLEAN, Setting
from hardener.data.splits import stratified_halves, stratified_sample
from hardener.errors import InconclusiveError, UsageError
from hardener.measuring.quality import Counts, Probe, measure
from hardener.model.classifier import Classifier, data_identity, open_full
from hardener.model.pooling import behind_pooling
from hardener.model.rewriting import (
    LIMITING,
    PruningPlan,
    check_rewrite,
    comparison,
    default_rewrite,
    rewritten,
)
from hardener.model.runtime import choose_provider
from hardener.model.stepping import stepping_head
from hardener.model.switching import HEADS
from hardener.model.topology import FeatureLayer, find_feature_layer
from hardener.progress import Progress, counting, silent
from hardener.pruning.choice import attacked, choose
from hardener.pruning.criteria import CRITERIA
from hardener.pruning.limits import LIMIT_CRITERIA
from hardener.pruning.options import PruningOption, options_for
from hardener.pruning.sweep import Trial, feature_batches, feature_bytes, sweep
from hardener.results import Layer, PruneOutcome, PruneResult, SweepRow
from hardener.scanning.reopening import open_as_scanned
from hardener.scanning.saved import SCAN_FILE, load_synthetic_triggers
from hardener.writing import check_outputs, write_hardened

DEFAULT_CRITERION = "linf-gap"
_DEFAULT_LIMITS = {"guard": "linf", "clip": "linf-ratio"}
_LEAST_IMAGES = 100
_LARGEST_THRESHOLD = float(np.finfo(np.float32).max)
_ROUNDING = 1e-9
_CHECKED_IMAGES = 64
_LARGEST_FEATURE_BYTES = 2 << 30


def prune(
    model: Path,
    scan: Path,
    data: Path,
    output: Path,
    *,
    criterion: str | None = None,
    threshold: float | None = None,
    max_accuracy_drop: float = 0.02,
    max_attack_success: float = 0.1,
    rewrite: str | None = None,
    alarm: bool = False,
    dry_run: bool = False,
    force: bool = False,
    preprocessing: Sequence[Mapping[str, tuple[float, ...]]] = (),
    provider: str = "auto",
    seed: int = 0,
    progress: Progress = silent,
) -> PruneResult:
    """Prunes the channels that answer to the scan's synthetic triggers.

    The clean images are split in two: the threshold is chosen on one half and the result
    reported on the other. Of the choosing half no more images
    are used, evenly from every class, than have feature maps that fit 2 GiB of memory.

    Writes `output` and, beside it, a JSON file. Writes nothing on
    `dry_run`, where the scan found nothing, where no threshold within the budget lowers the
    attack success rate, or where on the reporting half the budget does not hold or too much of
    the attack is left: `outcome` says which.

    Args:
        model: the ONNX classifier that was scanned.
        scan: the scan's folder.
        data: clean labelled images.
        output: the hardened ONNX file.
        criterion: linf, linf-gap, l1 or l2, by default linf-gap; for a guard linf (the default),
            linf-quantile or linf-ratio; for a clip the same three, by default linf-ratio.
        threshold: fixes the threshold instead of choosing one.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.
        max_attack_success: success rate of the synthetic trigger that may be left on the reporting
            half.
        rewrite: fold, mask, slim, guard or clip; by default fold, or mask where the graph cannot
            take it.
        alarm: gives a guard a further output, `hardener_alarm`.
        dry_run: measures and decides, but writes nothing.
        force: prunes although the scan's verdict is not backdoored, and writes although the
            budget does not hold or too much of the attack is left.
        preprocessing: fields that win over the scan's, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        seed: of the split.
        progress: told how far it is.

    Raises:
        HardenError: the scan is of another model, or an argument cannot be used.

    Source: Cheng et al. 2020, section 5.
    """
    check_outputs(output, model, data, scan)
    _check_arguments(rewrite, threshold, max_accuracy_drop, max_attack_success, alarm=alarm)
    criterion = _checked_criterion(criterion, rewrite, threshold)
    scanned, classifier = open_as_scanned(model, scan, preprocessing)
    check_outputs(output, scan / SCAN_FILE, *classifier.model.external)
    shapes = classifier.model.shapes
    layer = find_feature_layer(classifier.proto, classifier.signature, shapes, scanned.layer.name)
    rewrite = rewrite or default_rewrite(
        classifier.proto,
        classifier.signature,
        layer,
        shapes,
        classifier.signature.example(classifier.preprocessing.size),
    )
    source = classifier.open_data(data)
    chosen_provider = choose_provider(provider)
    chosen_on, reported_on = stratified_halves(source.labels, seed)
    if len(source) < _LEAST_IMAGES:
        raise InconclusiveError(
            f"{data} holds {len(source)} images: {_LEAST_IMAGES} are needed to choose a threshold "
            "on one half and report on the other"
        )
    result = PruneResult(
        seed=seed,
        provider=chosen_provider,
        threads=available_cores(),
        batch_size=classifier.batch_size,
        model=classifier.identity,
        data=data_identity(source),
        layer=Layer(name=layer.name, channels=layer.channels, axis=layer.axis),
        outcome="inconclusive" if scanned.verdict == "inconclusive" else "nothing-found",
        criterion=criterion,
        rewrite=rewrite,
        max_accuracy_drop=max_accuracy_drop,
        max_attack_success=max_attack_success,
        notes=(*classifier.signature.notes, *layer.notes),
    )
    if scanned.verdict != "backdoored" and not force:
        return result

    triggers = load_synthetic_triggers(scan, scanned)
    settings: dict[str, Setting] = {CLEAN: ()}
    settings |= {f"clean+syn {t.label}": (t,) for t in triggers}
    probes = {
        name: Probe(setting, setting[0].label if setting else None)
        for name, setting in settings.items()
    }
    # A guard and a clip act on single activations, which poolings would not leave.
    cut = layer if rewrite in LIMITING else behind_pooling(classifier.proto, layer)
    trunk = partial(
        feature_batches, classifier, layer, source, probes, provider=chosen_provider, cut=cut
    )
    needed = len(probes) * feature_bytes(classifier, layer, cut)
    chosen_on = _affordable(chosen_on, source.labels, needed, seed)
    advance = counting(progress, "running the trunk", len(chosen_on))
    batches = list(trunk(indices=chosen_on, on_batch=advance))
    options = options_for(criterion, rewrite, batches, threshold)
    trials = sweep(
        HEADS[rewrite](classifier.proto, cut, classifier.signature),
        [option.feed for option in options],
        batches,
        probes,
        provider=chosen_provider,
        batch_size=classifier.signature.batch,
        stepping=None
        if rewrite in LIMITING
        else stepping_head(classifier.proto, cut, classifier.signature),
        on_batch=counting(progress, "sweeping thresholds", sum(len(b.labels) for b in batches)),
    )
    del batches
    rows = tuple(_row(option, trial) for option, trial in zip(options, trials, strict=True))
    result = result.model_copy(
        update={
            "outcome": "no-gain",
            "data": data_identity(source),
            "sweep": rows,
            "chosen_on": trials[0].counts[CLEAN].n,
        }
    )
    if threshold is None:
        position = choose(CLEAN, trials, max_accuracy_drop)
    else:
        helps = attacked(CLEAN, trials[1]).hits < attacked(CLEAN, trials[0]).hits
        position = 1 if helps or force else None
    if position is None:
        return result
    option = options[position]
    plan = _plan(layer, rewrite, option, alarm=alarm)
    hardened = rewritten(classifier.proto, plan, shapes)
    _check_on_images(classifier, hardened, plan, source, chosen_on, settings)
    before, after = (
        measure(
            classifier,
            open_full(proto, classifier.signature, chosen_provider),
            source,
            probes,
            indices=reported_on,
            on_batch=counting(progress, f"measuring {name}", len(reported_on)),
        )
        for name, proto in (("the original", classifier.proto), ("the hardened model", hardened))
    )
    report = _report(before, after, max_accuracy_drop)
    outcome = "planned" if force else _outcome(report, max_attack_success)
    result = result.model_copy(
        update={
            "outcome": outcome,
            "threshold": option.threshold,
            "channels": plan.channels,
            "limits": plan.limits,
            "alarm": alarm,
            "data": data_identity(source),
            **report,
        }
    )
    if dry_run or outcome != "planned":
        return result
    return write_hardened(hardened, result, output, classifier.model.external)


def _affordable(indices: IntArray, labels: IntArray, image_bytes: int, seed: int) -> IntArray:
    """Those of `indices`, evenly from every class, whose feature maps fit the memory for them.

    Args:
        indices: positions of the choosing images.
        labels: (N,) true labels of all images.
        image_bytes: that the feature maps of one image take, under all settings.
        seed: of the draw.

    Raises:
        InconclusiveError: the maps are so large that too few images would choose.
    """
    allowed = _LARGEST_FEATURE_BYTES // max(1, image_bytes)
    if len(indices) <= allowed:
        return indices
    if allowed < _LEAST_IMAGES // 2:
        raise InconclusiveError(
            f"the feature maps of one image take {image_bytes >> 20} MiB: only {allowed} images "
            f"fit the memory for them, {_LEAST_IMAGES // 2} are needed to choose a threshold; "
            "name channels with --channels"
        )
    chosen = labels[indices]
    return indices[stratified_sample(chosen, allowed, seed)]


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
    if alarm and rewrite != "guard":
        raise UsageError("--alarm is an output of a guard: it goes with --rewrite guard")
    if not 0 <= max_accuracy_drop <= 1:
        raise UsageError(f"--max-accuracy-drop is a fraction from 0 to 1, not {max_accuracy_drop}")
    if not 0 <= max_attack_success <= 1:
        raise UsageError(
            f"--max-attack-success is a fraction from 0 to 1, not {max_attack_success}"
        )
    if threshold is not None and not abs(threshold) < _LARGEST_THRESHOLD:
        raise UsageError(f"--threshold is a finite number, not {threshold}")


def _checked_criterion(criterion: str | None, rewrite: str | None, threshold: float | None) -> str:
    """The criterion, where rewrite and threshold fit it."""
    limiting = rewrite in LIMITING
    known = LIMIT_CRITERIA if limiting else CRITERIA
    if criterion is None:
        criterion = _DEFAULT_LIMITS.get(rewrite or "", DEFAULT_CRITERION)
    if criterion not in known:
        raise UsageError(
            f"no criterion {criterion!r} for --rewrite {rewrite or 'fold or mask'}: use one of "
            f"{', '.join(known)}"
        )
    if limiting and threshold is not None:
        found = LIMIT_CRITERIA[criterion]
        if not 0 <= threshold <= found.highest:
            raise UsageError(
                f"--threshold with --criterion {criterion} is {found.meaning}, not {threshold:g}"
            )
    return criterion


def _plan(layer: FeatureLayer, rewrite: str, option: PruningOption, *, alarm: bool) -> PruningPlan:
    if rewrite not in LIMITING:
        return PruningPlan(layer, rewrite, option.channels)
    alike = None if option.limits else option.threshold
    return PruningPlan(layer, rewrite, threshold=alike, limits=option.limits, alarm=alarm)


def _check_on_images(
    classifier: Classifier,
    hardened: onnx.ModelProto,
    plan: PruningPlan,
    source: ImageSource,
    indices: IntArray,
    settings: Mapping[str, Setting],
) -> None:
    """Requires the plan's logits on some real images, under every setting."""
    every = max(1, len(indices) // _CHECKED_IMAGES)
    compare = comparison(classifier.proto, hardened, classifier.signature, plan)
    for batch in classifier.batches(source, indices[::every][:_CHECKED_IMAGES]):
        for setting in settings.values():
            (network_input,) = classifier.feeds(batch.images, setting).values()
            compare(network_input)


def _row(option: PruningOption, trial: Trial) -> SweepRow:
    clean, attack = trial.counts[CLEAN], attacked(CLEAN, trial)
    return SweepRow(
        threshold=option.threshold,
        channels_pruned=len(option.channels),
        accuracy=clean.correct / clean.n,
        attack_success_rate=attack.hits / max(1, attack.others),
        robust_accuracy=attack.robust / max(1, attack.others),
    )


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
    accuracy: list[float] = []
    for word, counts in (("before", before), ("after", after)):
        attacks = sum((c for name, c in counts.items() if name != CLEAN), Counts())
        accuracy.append(counts[CLEAN].correct / counts[CLEAN].n)
        fields[f"accuracy_{word}"] = accuracy[-1]
        fields[f"attack_success_rate_{word}"] = attacks.hits / max(1, attacks.others)
        fields[f"robust_accuracy_{word}"] = attacks.robust / max(1, attacks.others)
    fields["within_budget"] = accuracy[0] - accuracy[1] <= max_accuracy_drop + _ROUNDING
    return fields
