"""The scan: inversion, verdict, norms, ranking, from one ONNX file and clean images."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from hardener.arrays import FloatArray, IntArray
from hardener.cores import available_cores
from hardener.data.images import ImageSource
from hardener.data.settings import CLEAN, Stamp, input_settings
from hardener.data.splits import stratified_sample
from hardener.documents.document import tool_version
from hardener.documents.identity import Layer, Normalisation
from hardener.documents.scan import ChannelEvidence, MaxMean, NormSummary, ScanResult
from hardener.errors import DataError, UsageError
from hardener.files import FileName, check_output, sha256_of
from hardener.measuring.quality import Probe, measure
from hardener.measuring.suitability import trigger_for
from hardener.model.blind_spots import blind_spots
from hardener.model.classifier import Classifier, data_identity, open_classifier, open_full
from hardener.model.gradients import differentiable, torch_device
from hardener.model.runtime import Runner, choose_provider
from hardener.model.topology import find_feature_layer
from hardener.progress import Progress, counting, of_whole, silent
from hardener.scanning.activations import ChannelNorms, OverImages, profile
from hardener.scanning.all_to_all import measure_square
from hardener.scanning.label_search import Searches, find_triggers, stage_costs
from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.planning import MOST_LABELS_IN_FULL, plan_for
from hardener.scanning.rows import evidence_of, label_rows
from hardener.scanning.saved import (
    SCAN_FILE,
    save_scan,
    trigger_path,
)
from hardener.scanning.searches.additive import ADDITIVE
from hardener.scanning.searches.patches import PATCHES
from hardener.scanning.searches.table import SEARCHES
from hardener.scanning.searches.warps import WARPS
from hardener.scanning.unfinished import code_digest, unfinished
from hardener.scanning.verdict import judge
from hardener.scanning.without_images import (
    accused_unsearched,
    differentiable_on_noise,
    judge_without_images,
    label_scores,
    left_out_without_images,
    look_without_images,
    margin_settings,
)
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import TriggerKind

_FITTED_IMAGES = 512
_UNSEEN_IMAGES = 172
"""Apart from those: the most moving square is tried on them."""
_TRIED_IMAGES = 86
"""Of those: every trigger is tried on them."""
_LARGEST_FITTED_BYTES = 1 << 30


def scan(
    model: FileName,
    data: FileName | None,
    output: FileName,
    *,
    labels: Sequence[int] | None = None,
    layer: str | None = None,
    known_trigger: FileName | None = None,
    preprocessing: Sequence[Mapping[str, tuple[float, ...]]] = (),
    provider: str = "auto",
    seed: int = 0,
    patch_inversion: InversionSettings = PATCHES,
    additive_inversion: InversionSettings = ADDITIVE,
    warp_inversion: InversionSettings = WARPS,
    progress: Progress = silent,
) -> ScanResult:
    """Looks for a backdoor and for the channels that carry it.

    Writes `scan.json` and of each label a patch (`triggers/label-NN.npz`), an additive trigger
    (`additive-NN.npz`) and a warp (`warp-NN.npz`), each with a picture, into `output`. Images for
    the search (at most 512, and 1 GiB) are kept in memory; all others are streamed.

    Args:
        model: an ONNX classifier.
        data: clean labelled images, as for `open_images`. Without them only what needs none is
            looked at (margins, the last layer's weights), and the verdict is never clean; `labels`
            and `known_trigger` are refused then.
        output: folder for the results.
        labels: which labels to invert; all if None. With some left out the verdict is never
            clean.
        layer: name of the feature layer's tensor, where the graph's own is not wanted.
        known_trigger: the true trigger, where an evaluator has it; it adds input settings to
            the norms and takes no part in the verdict.
        preprocessing: fields that win over the model's metadata, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        seed: of sampling and search.
        patch_inversion: the budget of the search for patches.
        additive_inversion: and for additive triggers.
        warp_inversion: and for warps.
        progress: told how far it is.

    Raises:
        HardenError: the model, the images or an argument cannot be used.
    """
    if data is None:
        if labels is not None or known_trigger is not None:
            raise UsageError(
                "--labels and --known-trigger say what to do with images: give --data too, or "
                "leave them out"
            )
        return _without_images(
            Path(model), Path(output), layer, preprocessing, provider, seed, progress
        )
    model, data, output = Path(model), Path(data), Path(output)
    known_trigger = None if known_trigger is None else Path(known_trigger)
    check_output(output / SCAN_FILE, ".json", model, data, known_trigger)
    classifier = open_classifier(model, preprocessing)
    wanted = _wanted_labels(labels, classifier.signature.classes)
    feature = find_feature_layer(
        classifier.proto, classifier.signature, classifier.model.shapes, layer
    )
    original = None if known_trigger is None else trigger_for(classifier, known_trigger)
    inputs = (model, data, known_trigger, *classifier.model.external)
    # The last label has the longest name.
    some = wanted if len(wanted) <= MOST_LABELS_IN_FULL else wanted[-1:]
    for path in (trigger_path(output, label, kind) for label in some for kind in FAMILIES):
        check_output(path, ".npz", *inputs)
        check_output(path.with_suffix(".png"), ".png", *inputs)
    check_output(output / SCAN_FILE, ".json", *classifier.model.external)
    source = classifier.open_data(data)
    chosen_provider = choose_provider(provider)
    fitted, unseen = _two_samples(source, classifier, seed)

    images = classifier.images_of(source, fitted)
    network = differentiable(
        classifier.proto, classifier.signature, classifier.preprocessing.apply(images[:4])
    )
    searches = Searches(_budgets(patch_inversion, additive_inversion, warp_inversion), seed)
    enough = _tried_images(len(wanted), images[0].size)
    tried = unseen[stratified_sample(source.labels[unseen], enough, seed)]
    costs = stage_costs(len(wanted), classifier.preprocessing, searches, len(source), len(tried))
    climb = margin_settings(classifier)
    costs["searching margins"] = 2.5 * classifier.signature.classes * climb.starts * climb.steps
    progress = of_whole(progress, "the whole scan", costs)
    device = torch_device(chosen_provider)
    with unfinished(_search_depends_on(classifier, images, device, wanted, searches)) as kept:
        inverted = find_triggers(
            network, images, classifier.preprocessing, wanted, searches, device, progress, kept
        )
    chosen = inverted.chosen
    beside = look_without_images(classifier, network, seed, progress, device)
    del network, images

    runner = open_full(classifier.proto, classifier.signature, chosen_provider)
    triggers = inverted.triggers
    success = _success_rates(classifier, runner, source, tried, triggers, progress)
    moving = measure_square(classifier, runner, source, unseen, inverted.moving)
    clean = profile(
        classifier,
        feature,
        source,
        {CLEAN: Probe()},
        provider=chosen_provider,
        on_batch=counting(progress, "measuring clean images", len(source)),
    )[CLEAN]
    accuracy = clean.counts.correct / clean.counts.n
    found = evidence_of(inverted, success)
    standing_out = label_scores(beside, classifier.signature.classes)
    judgement = judge(
        chosen.labels,
        found,
        classes=classifier.signature.classes,
        accuracy=accuracy,
        images=clean.counts.n,
        moving=moving,
        beside=standing_out[list(chosen.labels)],
        unseen=(
            *classifier.signature.notes,
            *blind_spots(classifier.proto, classifier.signature),
            *accused_unsearched(standing_out, chosen.labels),
            *(() if beside.margins else ("margins were not measured",)),
        ),
        pixels=classifier.preprocessing.size[0] * classifier.preprocessing.size[1],
        untested=[label for label in chosen.labels if not np.any(source.labels[tried] != label)],
        screened=len(chosen.screened_only),
    )
    kind = list(FAMILIES).index(judgement.kinds[judgement.suspect])
    most = triggers[kind * len(chosen.labels) + judgement.suspect]
    settings = input_settings(original, most)
    profiles = {CLEAN: clean} | profile(
        classifier,
        feature,
        source,
        {name: Probe(setting) for name, setting in settings.items() if setting},
        provider=chosen_provider,
        on_batch=counting(progress, "measuring triggered images", len(source)),
    )
    result = ScanResult(
        seed=seed,
        provider=chosen_provider,
        threads=available_cores(),
        batch_size=classifier.batch_size,
        model=classifier.identity,
        data=data_identity(source),
        verdict=judgement.verdict,
        score=judgement.score,
        targets=judgement.targets,
        suspect=chosen.labels[judgement.suspect],
        accuracy=accuracy,
        preprocessing=Normalisation.of(classifier.preprocessing),
        layer=Layer(name=feature.name, channels=feature.channels, axis=feature.axis),
        labels=label_rows(inverted, found, judgement.kinds),
        norms={name: _summary(profiles[name].norms) for name in settings},
        channels=_ranked(clean.norms, profiles["clean+syn"].norms),
        reasons=(
            *judgement.reasons,
            *inverted.reasons,
            *beside.reasons,
            *feature.notes,
            *_left_out(source),
        ),
        moving=moving,
        margins=beside.margins,
        last_layer=beside.last_layer,
    )
    save_scan(output, result, triggers)
    kept.remove()
    return result


def _without_images(
    model: Path,
    output: Path,
    layer: str | None,
    preprocessing: Sequence[Mapping[str, tuple[float, ...]]],
    provider: str,
    seed: int,
    progress: Progress,
) -> ScanResult:
    """The scan of a model alone."""
    check_output(output / SCAN_FILE, ".json", model)
    classifier = open_classifier(model, preprocessing)
    check_output(output / SCAN_FILE, ".json", *classifier.model.external)
    feature = find_feature_layer(
        classifier.proto, classifier.signature, classifier.model.shapes, layer
    )
    chosen_provider = choose_provider(provider)
    network = differentiable_on_noise(classifier, seed)
    found = look_without_images(classifier, network, seed, progress, torch_device(chosen_provider))
    scores = label_scores(found, classifier.signature.classes)
    verdict, score, targets = judge_without_images(found, scores)
    result = ScanResult(
        seed=seed,
        provider=chosen_provider,
        threads=available_cores(),
        model=classifier.identity,
        data=None,
        verdict=verdict,
        score=score,
        targets=targets,
        suspect=int(scores.argmax()),
        accuracy=None,
        preprocessing=Normalisation.of(classifier.preprocessing),
        layer=Layer(name=feature.name, channels=feature.channels, axis=feature.axis),
        labels=(),
        norms={},
        channels=(),
        reasons=(*found.reasons, *left_out_without_images(classifier, verdict), *feature.notes),
        margins=found.margins,
        last_layer=found.last_layer,
    )
    save_scan(output, result, ())
    return result


def _budgets(
    patch: InversionSettings, additive: InversionSettings, warp: InversionSettings
) -> dict[TriggerKind, InversionSettings]:
    """The given budgets, and of any other family its own."""
    given = {"patch": patch, "additive": additive, "warp": warp}
    return {kind: given.get(kind, search.settings) for kind, search in SEARCHES.items()}


def _wanted_labels(labels: Sequence[int] | None, classes: int) -> list[int]:
    if labels is None:
        return list(range(classes))
    wanted = sorted(set(labels))
    if not wanted or wanted[0] < 0 or wanted[-1] >= classes:
        raise UsageError(f"labels {wanted} are not all among the model's 0 to {classes - 1}")
    return wanted


def _two_samples(
    source: ImageSource, classifier: Classifier, seed: int
) -> tuple[IntArray, IntArray]:
    """Positions to search on and, apart from them, to try the triggers on."""
    height, width = classifier.preprocessing.size
    image_bytes = 4 * classifier.signature.channels * height * width
    allowed = max(1, min(_FITTED_IMAGES, _LARGEST_FITTED_BYTES // image_bytes))
    # Of few images half are left, so that success is never rated on fitted ones.
    fitted = stratified_sample(source.labels, min(allowed, len(source) // 2), seed)
    left = np.setdiff1d(np.arange(len(source)), fitted)
    if not len(fitted):
        raise DataError(f"{source.path} holds {len(source)} images: a scan needs at least 2")
    return fitted, left[stratified_sample(source.labels[left], _UNSEEN_IMAGES, seed)]


def _tried_images(labels: int, image_values: int) -> int:
    """How many images every trigger is tried on."""
    plan = plan_for(labels, image_values)
    return _TRIED_IMAGES if plan is None else min(_TRIED_IMAGES, plan.tried_images)


def _search_depends_on(
    classifier: Classifier,
    images: FloatArray,
    device: torch.device,
    labels: Sequence[int],
    searches: Searches,
) -> dict[str, object]:
    """All that what the searches find depends on, by name."""
    return {
        "code": (tool_version(), code_digest()),
        "libraries": (torch.__version__, np.__version__),
        "model": classifier.identity.sha256,
        "external": [sha256_of(path) for path in classifier.model.external],
        "preprocessing": classifier.preprocessing,
        "images": (images.shape, hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()),
        "device": (str(device), available_cores(), torch.cpu.get_capabilities().get("cpu_name")),
        "labels": list(labels),
        "searches": searches,
    }


def _success_rates(
    classifier: Classifier,
    runner: Runner,
    source: ImageSource,
    unseen: IntArray,
    triggers: Sequence[Stamp],
    progress: Progress,
) -> list[FloatArray]:
    """Of each kind of trigger (L,) success rates."""
    probes = {str(row): Probe((t,), t.label) for row, t in enumerate(triggers)}
    counts = measure(
        classifier,
        runner,
        source,
        probes,
        indices=unseen,
        on_batch=counting(progress, "trying triggers", len(unseen)),
    )
    rates = np.array([count.success_rate for count in counts.values()], np.float32)
    return np.split(rates, len(FAMILIES))


def _left_out(source: ImageSource) -> tuple[str, ...]:
    if not source.unreadable:
        return ()
    return (f"{len(source.unreadable)} of {len(source)} pictures are unreadable and left out",)


def _summary(norms: ChannelNorms) -> NormSummary:
    def of(values: OverImages) -> MaxMean:
        return MaxMean(max=float(values.max.max()), mean=float(values.mean.mean()))

    return NormSummary(l1=of(norms.l1), l2=of(norms.l2), linf=of(norms.linf))


def _ranked(clean: ChannelNorms, triggered: ChannelNorms) -> tuple[ChannelEvidence, ...]:
    before, after = clean.linf.mean, triggered.linf.mean
    gap = after - before
    return tuple(
        ChannelEvidence(
            channel=int(channel),
            linf_clean=float(before[channel]),
            linf_triggered=float(after[channel]),
            gap=float(gap[channel]),
        )
        for channel in np.argsort(-gap, kind="stable")
    )
