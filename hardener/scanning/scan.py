"""The scan: every detector that can looks at a model, one verdict weighs what they found."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from hardener.data.settings import input_settings
from hardener.documents.identity import Layer, Normalisation
from hardener.documents.scan import GRAPH_LOGIC, ScanResult
from hardener.errors import ModelError, UsageError
from hardener.files import FileName, check_output
from hardener.measuring.suitability import trigger_for
from hardener.model.blind_spots import blind_spots
from hardener.model.classifier import ModelGiven, Overrides, path_of
from hardener.model.topology import FeatureLayer, find_feature_layer
from hardener.progress import Progress, of_whole, silent
from hardener.scanning.channels import CHANNELS_STAGE, Answers, measure_answers
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.detectors.table import DETECTORS
from hardener.scanning.finding import Doubt, Finding
from hardener.scanning.label_search import Searches
from hardener.scanning.look import Look, start_look
from hardener.scanning.looked_for import looked_for
from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.saved import SCAN_FILE, check_scan_files, save_scan
from hardener.scanning.searches.table import SEARCHES
from hardener.scanning.unfinished import unfinished
from hardener.scanning.verdict import Suspicion, doubts_on_images, judge, told, weigh
from hardener.subject import Subject, open_subject
from hardener.triggers.family import TriggerKind

_NO_IMAGES = (
    Doubt(
        "there were no images: no trigger was searched or tried, no accuracy and no channel was "
        "measured"
    ),
    Doubt("without images a model is never called clean: scan it again with --data"),
)


def scan(
    model: ModelGiven,
    data: FileName | None,
    output: FileName,
    *,
    labels: Sequence[int] | None = None,
    layer: str | None = None,
    known_trigger: FileName | None = None,
    preprocessing: Overrides = (),
    provider: str = "auto",
    threads: int | None = None,
    device: int = 0,
    seed: int = 0,
    budgets: Mapping[TriggerKind, InversionSettings] = MappingProxyType({}),
    progress: Progress = silent,
) -> ScanResult:
    """Looks for a backdoor and for the channels that carry it.

    Writes `scan.json` into `output` and of each label that was searched a trigger of every family
    (`triggers/label-NN.npz`, `additive-NN.npz`, `warp-NN.npz`), and of some families the one that
    most exchanges labels (`exchange-FAMILY.npz`), each with a picture. Images for
    the search (at most 512, and 1 GiB) are kept in memory; all others are streamed.

    Args:
        model: an ONNX classifier, a file or open.
        data: clean labelled images, as for `open_images`. Without them only what needs none is
            looked at (margins, the last layer's weights), and the verdict is never clean; `labels`
            and `known_trigger` are refused then.
        output: folder for the results.
        labels: which labels to search; all if None. With some left out the verdict is never
            clean.
        layer: name of the feature layer's tensor, where the graph's own is not wanted.
        known_trigger: the true trigger, where an evaluator has it; it adds input settings to
            the norms and takes no part in the verdict.
        preprocessing: fields that win over the model's metadata, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        threads: of one operator on the CPU; by default one for each core.
        device: index of the GPU.
        seed: of sampling and search.
        budgets: of the search for some families of triggers, where they are not the usual ones.
        progress: told how far it is.

    Raises:
        HardenError: the model, the images or an argument cannot be used.
    """
    if data is None and not (labels is None and known_trigger is None):
        raise UsageError(
            "--labels and --known-trigger say what to do with images: give --data too, or "
            "leave them out"
        )
    output = Path(output)
    inputs = [path_of(model), *(Path(one) for one in (data, known_trigger) if one is not None)]
    check_output(output / SCAN_FILE, ".json", *inputs)
    subject = open_subject(
        model, data, preprocessing, provider=provider, threads=threads, device=device, seed=seed
    )
    classifier = subject.classifier
    original = None if known_trigger is None else trigger_for(classifier, Path(known_trigger))
    settings = {kind: search.settings for kind, search in SEARCHES.items()} | dict(budgets)
    look = start_look(subject, labels, Searches(settings, seed))
    check_scan_files(output, look.labels if data else (), *inputs, *classifier.model.external)
    progress = of_whole(progress, "the whole scan", _costs(look))
    with unfinished(look.depends_on) as kept:
        subject, feature, found = _findings(replace(look, kept=kept, progress=progress), layer)
    del look  # and with it the images that were searched on
    suspicion, answers = weigh(list(found.values())), None
    if suspicion.triggers is not None:
        trigger = suspicion.triggers.strongest[suspicion.suspect]
        answers = measure_answers(subject, feature, input_settings(original, trigger), progress)
    result = _result(subject, feature, found, suspicion, answers, layer)
    exchanges = [trigger for finding in found.values() for trigger in finding.exchanges]
    save_scan(
        output, result, () if suspicion.triggers is None else suspicion.triggers.all, exchanges
    )
    kept.remove()
    return result


def _runnable(subject: Subject) -> dict[str, Detector]:
    """The detectors that have something to look at."""
    return {n: one for n, one in DETECTORS.items() if subject.source or not one.needs_images}


def _findings(look: Look, layer: str | None) -> tuple[Subject, FeatureLayer, dict[str, Finding]]:
    """The subject as the last detector saw it, its feature layer, and what each of them saw.

    The layer is looked for as soon as what hides it may have been taken out of the graph.
    """
    found: dict[str, Finding] = {}
    feature: FeatureLayer | None = None
    for name, detector in _runnable(look.subject).items():
        if feature is None and name != GRAPH_LOGIC:
            feature = _feature_layer(look.subject, layer)
        found[name] = detector.run(look)
        if (rest := found[name].rest) is not None:
            look = replace(look, subject=rest)
    return look.subject, feature or _feature_layer(look.subject, layer), found


def _feature_layer(subject: Subject, name: str | None) -> FeatureLayer:
    classifier = subject.classifier
    shapes = classifier.model.shapes
    return find_feature_layer(classifier.proto, classifier.signature, shapes, name)


def _result(
    subject: Subject,
    feature: FeatureLayer,
    found: Mapping[str, Finding],
    suspicion: Suspicion,
    answers: Answers | None,
    layer: str | None,
) -> ScanResult:
    """The verdict and all that led to it."""
    findings = list(found.values())
    doubts = [*_doubts(subject, answers), *_doubts_on_layer(subject, layer)]
    judgement = judge(findings, suspicion, doubts)
    said = tuple(sentence for finding in findings for sentence in finding.said)
    return ScanResult(
        **subject.run,
        verdict=judgement.verdict,
        score=judgement.score,
        targets=judgement.targets,
        suspect=judgement.suspect,
        accuracy=None if answers is None else answers.accuracy,
        preprocessing=Normalisation.of(subject.classifier.preprocessing),
        layer=Layer(name=feature.name, channels=feature.channels, axis=feature.axis),
        norms={} if answers is None else dict(answers.norms),
        channels=() if answers is None else answers.channels,
        reasons=(
            *((*judgement.reasons, *said) if answers else (*said, *judgement.reasons)),
            *feature.notes,
            *_left_out(subject),
        ),
        findings=tuple(told(name, finding) for name, finding in found.items()),
        looked_for=looked_for({kind for name in found for kind in DETECTORS[name].looks_for}),
        **{"labels": ()} | {k: v for finding in findings for k, v in finding.evidence.items()},
    )


def _costs(look: Look) -> dict[str, float]:
    """What each stage costs, about, in images that go through the network once."""
    source, runnable = look.subject.source, _runnable(look.subject).values()
    costs = {stage: cost for one in runnable for stage, cost in one.costs(look).items()}
    return costs | ({} if source is None else {CHANNELS_STAGE: 2.0 * len(source)})


def _doubts(subject: Subject, answers: Answers | None) -> list[Doubt]:
    """What keeps the verdict from being clean, beside what detectors say themselves."""
    classifier = subject.classifier
    unseen = [
        *classifier.signature.notes,
        *blind_spots(classifier.proto, classifier.signature),
    ]
    return [
        *(doubts_on_images(answers.accuracy, answers.images) if answers else _NO_IMAGES),
        *map(Doubt, unseen),
    ]


def _doubts_on_layer(subject: Subject, named: str | None) -> list[Doubt]:
    """Where the graph has no feature layer of its own, a named one says little of it."""
    try:
        if named is not None:
            _feature_layer(subject, None)
    except ModelError as error:
        return [Doubt(f"only --layer names a feature layer: by itself, {error}")]
    return []


def _left_out(subject: Subject) -> tuple[str, ...]:
    source = subject.source
    if source is None or not source.unreadable:
        return ()
    return (f"{len(source.unreadable)} of {len(source)} pictures are unreadable and left out",)
