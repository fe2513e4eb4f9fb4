"""Models measured side by side on the same images."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from hardener.arrays import FloatArray, IntArray
from hardener.benching.latency import bound_call, interleaved_times, latency_row
from hardener.data.images import Batch, ImageSource
from hardener.data.settings import CLEAN, Setting, input_settings
from hardener.documents.bench import BenchResult, LatencyRow, ModelBench
from hardener.errors import DataError, UsageError
from hardener.files import FileName, check_output
from hardener.measuring.intervals import wilson
from hardener.measuring.quality import Counts, Probe, measure, rule_of
from hardener.measuring.suitability import trigger_for
from hardener.model.classifier import (
    Classifier,
    ModelGiven,
    Overrides,
    data_identity,
    open_classifier,
    open_full,
    open_model,
    path_of,
)
from hardener.model.files import SOURCE_KEY, OnnxModel
from hardener.model.runtime import Runner, choose_machine
from hardener.progress import Progress, counting, silent
from hardener.scanning.found_exchanges import exchanges_labels
from hardener.scanning.saved import (
    SCAN_FILE,
    SavedScan,
    ScanGiven,
    folder_of,
    load_exchanging,
    load_synthetic_triggers,
    open_scan,
    require_images,
)
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

_SECONDS_PER_BATCH_SIZE = 10.0


def bench(
    models: Sequence[ModelGiven],
    data: FileName,
    output: FileName,
    *,
    trigger: FileName | None = None,
    target: int | None = None,
    scan: ScanGiven | None = None,
    preprocessing: Overrides = (),
    provider: str = "auto",
    threads: int | None = None,
    device: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> BenchResult:
    """Measures accuracy, attack success rate, robust accuracy and latency of models.

    Args:
        models: ONNX classifiers, files or open; ratios compare with the first.
        data: labelled images, best those that no earlier stage saw.
        output: where the result goes, a JSON file.
        trigger: the true trigger, where it is known.
        target: the label that counts as a hit; by default the trigger's, else the scan's. Where the
            scan found that all labels are exchanged, a hit is the label to which the scanned
            model, one of `models`, sends most images of the same true one with the trigger.
        scan: a scan, or its folder, of one of the models (or of the model it was hardened from),
            whose synthetic trigger is tried.
        preprocessing: fields that win over each model's metadata, later over earlier. Where the
            metadata lack some, the scan's are taken.
        provider: auto, cpu, cuda or tensorrt.
        threads: of one operator on the CPU; by default one for each core.
        device: index of the GPU.
        seed: of the intervals' resampling.
        progress: told how far it is.

    Raises:
        HardenError: a model, the images or an argument cannot be used.
    """
    if not models:
        raise UsageError("no model is named")
    if isinstance(models, str | os.PathLike | OnnxModel):
        raise UsageError(f"models is a list of files: [{str(path_of(models))!r}]")
    data, output = Path(data), Path(output)
    trigger = None if trigger is None else Path(trigger)
    read = [*map(path_of, models), data, trigger]
    check_output(output, ".json", *read, None if scan is None else folder_of(scan) / SCAN_FILE)
    saved = None if scan is None else _scan_with_images(scan)
    scanned = {} if saved is None else saved.result.preprocessing.fields
    classifiers = [_opened(model, scanned, preprocessing) for model in models]
    _require_one_batch_size(classifiers)
    original = None
    if trigger is not None:
        (original, *_) = [trigger_for(classifier, trigger) for classifier in classifiers]
    synthetic = None if saved is None else _synthetic(saved, classifiers, original, target)
    exchange = None
    if saved is not None and target is None and exchanges_labels(saved.result):
        synthetic = exchange = load_exchanging(saved)[0]
    wanted = None if exchange else _target(target, original, synthetic, classifiers)
    settings = input_settings(original, synthetic)
    machine = choose_machine(provider, threads, device)
    runners = [open_full(c.proto, c.signature, machine) for c in classifiers]
    counted: int | IntArray | None = wanted
    if saved is not None and exchange is not None:
        position = _position_of_scanned(saved, classifiers)
        tried = original or exchange
        counted = _rule(classifiers[position], runners[position], data, tried, progress)

    rows: list[dict[str, Counts]] = []
    for classifier, runner in zip(classifiers, runners, strict=True):
        source = classifier.open_data(data)
        rows.append(
            measure(
                classifier,
                runner,
                source,
                {name: Probe(setting, counted) for name, setting in settings.items()},
                on_batch=counting(progress, f"measuring {classifier.model.path.name}", len(source)),
            )
        )
    latencies = _latencies(classifiers, runners, source, seed, progress)
    result = BenchResult(
        seed=seed,
        provider=machine.provider,
        threads=machine.threads,
        batch_size=min(c.batch_size for c in classifiers),
        model=classifiers[0].identity,
        data=data_identity(source),
        target=wanted,
        models=tuple(
            _row(classifier, counts, {} if counted is None else settings, latency)
            for classifier, counts, latency in zip(classifiers, rows, latencies, strict=True)
        ),
    )
    result.write(output)
    return result


def _scan_with_images(scan: ScanGiven) -> SavedScan:
    saved = open_scan(scan)
    require_images(saved)
    return saved


def _opened(
    given: ModelGiven, scanned: Mapping[str, tuple[float, ...]], preprocessing: Overrides
) -> Classifier:
    """Opens a model; the scan says what the model itself does not."""
    model = open_model(given, preprocessing, scanned)
    try:
        return open_classifier(model, preprocessing)
    except DataError:
        if not scanned:
            raise
        return open_classifier(model, [scanned, *preprocessing])


def _synthetic(
    scan: SavedScan,
    classifiers: Sequence[Classifier],
    original: Trigger | None,
    target: int | None,
) -> SyntheticTrigger:
    scanned = scan.result
    known = {c.model.sha256 for c in classifiers} | {
        c.model.metadata[SOURCE_KEY] for c in classifiers if SOURCE_KEY in c.model.metadata
    }
    if scanned.model.sha256 not in known:
        raise DataError(
            f"{scan.folder} is the scan of none of these models but of {scanned.model.path} "
            f"(sha256 {scanned.model.sha256[:12]}…)"
        )
    wanted = target if target is not None else original.label if original is not None else None
    label = scanned.suspect if wanted is None else wanted
    return load_synthetic_triggers(scan, [label])[0]


def _position_of_scanned(scan: SavedScan, classifiers: Sequence[Classifier]) -> int:
    """Which of the models was scanned.

    Raises:
        UsageError: none of them.
    """
    for position, classifier in enumerate(classifiers):
        if classifier.model.sha256 == scan.result.model.sha256:
            return position
    raise UsageError(
        f"{scan.folder} found an attack from all labels to all: name the model that was scanned "
        f"too, {scan.result.model.path}; where it sends each label is what counts as a hit"
    )


def _rule(
    classifier: Classifier,
    runner: Runner,
    data: Path,
    trigger: SyntheticTrigger,
    progress: Progress,
) -> IntArray:
    """(K,) to which label a trigger that exchanges labels sends those of each, -1 for none."""
    source = classifier.open_data(data)
    gone = np.array(source.labels)

    def note(name: str, batch: Batch, scores: FloatArray) -> None:
        gone[batch.indices] = scores.argmax(axis=1)

    measure(
        classifier,
        runner,
        source,
        {"exchanged": Probe((trigger,))},
        on_batch=counting(progress, "where labels go", len(source)),
        on_scores=note,
    )
    return rule_of(source.labels, gone, classifier.signature.classes)


def _target(
    target: int | None,
    original: Trigger | None,
    synthetic: SyntheticTrigger | None,
    classifiers: Sequence[Classifier],
) -> int | None:
    if target is None:
        known = original or synthetic
        target = None if known is None else known.label
    if target is not None and original is not None and target != original.label:
        raise UsageError(
            f"--target {target} contradicts --trigger, which is made for label {original.label}: "
            "give one of them"
        )
    smallest = min(c.signature.classes for c in classifiers)
    if target is not None and not 0 <= target < smallest:
        raise UsageError(f"target {target} is no label of the models: 0 to {smallest - 1}")
    if target is not None and original is None and synthetic is None:
        raise UsageError("--target counts the hits of a trigger: give --trigger or --scan with it")
    return target


def _latencies(
    classifiers: Sequence[Classifier],
    runners: Sequence[Runner],
    source: ImageSource,
    seed: int,
    progress: Progress,
) -> list[tuple[LatencyRow, ...]]:
    """One tuple a model: a row at batch 1, and one at the batch size the stages use."""
    sizes = _batch_sizes(classifiers)
    rows: list[list[LatencyRow]] = [[] for _ in classifiers]
    for done, size in enumerate(sizes):
        progress("timing", done, len(sizes))
        calls = []
        for classifier, runner in zip(classifiers, runners, strict=True):
            batch = next(classifier.batches(source))
            images = np.resize(batch.images, (size, *batch.images.shape[1:]))
            (network_input,) = classifier.feeds(images).values()
            signature = classifier.signature
            calls.append(bound_call(runner, signature.input, signature.output, network_input))
        times = interleaved_times(calls, _SECONDS_PER_BATCH_SIZE)
        for row, runner, own in zip(rows, runners, times, strict=True):
            row.append(latency_row(own, times[0], runner, size, seed))
    progress("timing", len(sizes), len(sizes))
    return [tuple(row) for row in rows]


def _batch_sizes(classifiers: Sequence[Classifier]) -> list[int]:
    fixed = {c.signature.batch for c in classifiers if c.signature.batch is not None}
    return sorted(fixed) or sorted({1, min(c.batch_size for c in classifiers)})


def _require_one_batch_size(classifiers: Sequence[Classifier]) -> None:
    fixed = {c.signature.batch: c.model.path for c in classifiers if c.signature.batch is not None}
    if len(fixed) > 1:
        said = ", ".join(f"{path} takes {batch}" for batch, path in fixed.items())
        raise UsageError(f"models of different fixed batch sizes are not compared: {said}")


def _row(
    classifier: Classifier,
    counts: Mapping[str, Counts],
    settings: Mapping[str, Setting],
    latency: tuple[LatencyRow, ...],
) -> ModelBench:
    attacks = {name: counts[name] for name, setting in settings.items() if setting}
    return ModelBench(
        path=str(classifier.model.path),
        sha256=classifier.model.sha256,
        accuracy=wilson(counts[CLEAN].correct, counts[CLEAN].n),
        attack_success_rate={name: wilson(c.hits, c.others) for name, c in attacks.items()},
        robust_accuracy={name: wilson(c.robust, c.others) for name, c in attacks.items()},
        latency=latency,
        latency_ratio=latency[0].ratio,
        file_bytes=sum(
            path.stat().st_size for path in (classifier.model.path, *classifier.model.external)
        ),
    )
