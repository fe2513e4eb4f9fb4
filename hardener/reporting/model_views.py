"""What a scanned model shows of itself on real images: answers, heat maps, activations, norms.

Source of what is shown: Cheng et al. 2020, figures 2 to 4.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardener.arrays import FloatArray, IntArray
from hardener.data.images import ImageSource
from hardener.data.settings import CLEAN, Setting, input_settings, stamp_all
from hardener.data.splits import stratified_sample
from hardener.documents.identity import DataIdentity, ModelIdentity
from hardener.documents.scan import ScanResult
from hardener.errors import DataError, InconclusiveError, ModelError, UsageError
from hardener.files import FileName
from hardener.measuring.histograms import Histogram
from hardener.measuring.suitability import trigger_for
from hardener.model.classifier import (
    Classifier,
    ModelGiven,
    Overrides,
    data_identity,
    open_classifier,
    path_of,
)
from hardener.model.grad_cam import GradCam
from hardener.model.gradients import torch_on
from hardener.model.runtime import Machine, choose_machine, open_runner
from hardener.model.token_grid import grid_of
from hardener.model.topology import FeatureLayer, find_feature_layer
from hardener.progress import Progress, counting, silent
from hardener.reporting.viewer import Viewer, named_images, representative_images
from hardener.scanning.activations import norms_graph
from hardener.scanning.found_exchanges import exchanges_labels
from hardener.scanning.reopening import open_scanned
from hardener.scanning.saved import (
    SavedScan,
    ScanGiven,
    load_exchanging,
    load_synthetic_triggers,
    open_scan,
    require_images,
)
from hardener.triggers.family import SyntheticTrigger

_MOST_COUNTED = 2_000


@dataclass(frozen=True, eq=False)
class Example:
    """One image under the input settings, and what each model makes of it.

    Attributes:
        position: in the image set, from 0.
        label: the true label.
        images: (C, H, W) in [0, 1], by input setting.
        answers: of each model, the label that it gives, by input setting.
        heat_maps: of each model, (H, W), by input setting and label asked about; empty where the
            model gives none.
    """

    position: int
    label: int
    images: Mapping[str, FloatArray]
    answers: tuple[Mapping[str, int], ...]
    heat_maps: tuple[Mapping[tuple[str, int], FloatArray], ...]


@dataclass(frozen=True, eq=False)
class ModelView:
    """What models show of themselves.

    Attributes:
        models: path and digest of each, the scanned one first.
        target: the label that the triggers go to.
        class_names: what the scanned model calls the target, the scan's targets and the
            examples' labels, where it says.
        layer: name of the scanned model's feature layer.
        data: the images.
        examples: chosen or representative images.
        maps: (channels, h, w) activations of the first example, by input setting; empty where the
            layer's positions form no grid.
        norms: over `counted` images and all channels, by input setting and norm (l1, l2, linf).
        counted: how many images.
        notes: what could not be shown and why, as sentences.
    """

    models: tuple[ModelIdentity, ...]
    target: int
    class_names: Mapping[int, str]
    layer: str
    data: DataIdentity
    examples: tuple[Example, ...]
    maps: Mapping[str, FloatArray]
    norms: Mapping[str, Mapping[str, Histogram]]
    counted: int
    notes: tuple[str, ...]


def exhibit(
    model: ModelGiven,
    scan: ScanGiven,
    data: FileName,
    *,
    beside: ModelGiven | None = None,
    known_trigger: FileName | None = None,
    images: Sequence[int] | None = None,
    preprocessing: Overrides = (),
    provider: str = "auto",
    threads: int | None = None,
    device: int = 0,
    seed: int = 0,
    progress: Progress = silent,
) -> ModelView:
    """Runs a scanned model, and another one beside it, on images with and without triggers.

    Norms are counted on at most 2,000 images, which are streamed.

    Args:
        model: the scanned ONNX model, a file or open.
        scan: its scan, or the scan's folder; the suspicious label's trigger is stamped.
        data: labelled images, best the scan's.
        beside: a second model of the same classes and size, as the hardened one.
        known_trigger: the true trigger, where an evaluator has it.
        images: positions of the examples in the image set, at most 16; by default two that the
            model gets right and loses to the triggers.
        preprocessing: fields that win over the scan's, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        threads: of one operator on the CPU; by default one for each core.
        device: index of the GPU.
        seed: of the draw of images.
        progress: told how far it is.

    Raises:
        HardenError: a model, the images or an argument cannot be used.
    """
    saved = open_scan(scan)
    scanned = saved.result
    require_images(saved)
    classifier = open_scanned(saved, model, preprocessing)
    classifiers = [classifier]
    if beside is not None:
        classifiers.append(_second(beside, scanned, preprocessing, classifier))
    original = None if known_trigger is None else trigger_for(classifier, Path(known_trigger))
    synthetic = _shown_trigger(saved)
    settings = input_settings(original, synthetic)
    target = synthetic.label if original is None else original.label
    source = classifier.open_data(Path(data))
    layers = [_layer(one, scanned if one is classifier else None) for one in classifiers]
    machine = choose_machine(provider, threads, device)
    torch_on(machine)
    viewers = [Viewer(one, layer, machine) for one, layer in zip(classifiers, layers, strict=True)]
    places = (
        representative_images(viewers[0], source, settings, target, seed, progress)
        if images is None
        else named_images(images, source)
    )
    notes: list[str] = []
    examples = _examples(viewers, source, places, settings, target, notes)
    drawn = stratified_sample(source.labels, min(len(source), _MOST_COUNTED), seed)
    norms, counted = _norms(
        classifier,
        layers[0],
        source,
        drawn,
        settings,
        machine,
        counting(progress, "counting norms", len(drawn)),
    )
    return ModelView(
        models=tuple(one.identity for one in classifiers),
        target=target,
        class_names=_names(
            classifier, {target, *scanned.targets, *(example.label for example in examples)}
        ),
        layer=layers[0].name,
        data=data_identity(source),
        examples=examples,
        maps=_maps(viewers[0], examples, notes),
        norms=norms,
        counted=counted,
        notes=tuple(notes),
    )


def _shown_trigger(saved: SavedScan) -> SyntheticTrigger:
    """What stands for the attack: a trigger that exchanges labels, or a target's trigger."""
    scanned = saved.result
    if exchanges_labels(scanned):
        return load_exchanging(saved)[0]
    label = scanned.targets[0] if scanned.targets else scanned.suspect
    return load_synthetic_triggers(saved, [label])[0]


def _second(
    given: ModelGiven, scanned: ScanResult, preprocessing: Overrides, first: Classifier
) -> Classifier:
    path = path_of(given)
    try:
        second = open_classifier(given, [scanned.preprocessing.fields, *preprocessing])
    except DataError as error:
        raise DataError(f"{path} cannot be shown beside {first.model.path}: {error}") from error
    shapes = [(c.signature.classes, c.preprocessing.channels, c.preprocessing.size) for c in
              (first, second)]  # fmt: skip
    if shapes[0] != shapes[1]:
        raise UsageError(
            f"{path} takes other images or has other classes than {first.model.path}: they cannot "
            "be shown side by side"
        )
    return second


def _names(classifier: Classifier, labels: Iterable[int]) -> dict[int, str]:
    names = classifier.model.class_names or ()
    return {label: names[label] for label in sorted(labels) if label < len(names)}


def _layer(classifier: Classifier, scanned: ScanResult | None) -> FeatureLayer:
    name = None if scanned is None else scanned.layer.name
    return find_feature_layer(classifier.proto, classifier.signature, classifier.model.shapes, name)


def _examples(
    viewers: Sequence[Viewer],
    source: ImageSource,
    places: IntArray,
    settings: Mapping[str, Setting],
    target: int,
    notes: list[str],
) -> tuple[Example, ...]:
    first = viewers[0].classifier
    pictures = [first.images_of(source, np.array([place])) for place in places]
    for place, picture in zip(places, pictures, strict=True):
        if not len(picture):
            raise DataError(f"{source.path}: image {place} cannot be read: name another one")
    clean = np.concatenate(pictures)
    cameras = [_camera(viewer, clean, notes) for viewer in viewers]
    stamped = {name: stamp_all(clean, setting) for name, setting in settings.items()}
    answers = [
        {name: viewer.answers(images) for name, images in stamped.items()} for viewer in viewers
    ]
    labels = source.labels[places]
    asked = (labels, np.full_like(labels, target))
    heat = [
        {}
        if camera is None
        else {
            (name, which): camera.heat_maps(images, asked[which])
            for name, images in stamped.items()
            for which in range(len(asked))
        }
        for camera in cameras
    ]
    return tuple(
        Example(
            position=int(places[row]),
            label=int(labels[row]),
            images={name: images[row] for name, images in stamped.items()},
            answers=tuple(
                {name: int(given[row]) for name, given in of_model.items()} for of_model in answers
            ),
            heat_maps=tuple(
                {
                    (name, int(asked[which][row])): maps[row]
                    for (name, which), maps in of_model.items()
                }
                for of_model in heat
            ),
        )
        for row in range(len(places))
    )


def _camera(viewer: Viewer, examples: FloatArray, notes: list[str]) -> GradCam | None:
    try:
        return GradCam(viewer.classifier, viewer.layer, examples)
    except ModelError as error:
        notes.append(f"Grad-CAM of {viewer.classifier.model.path.name}: {error}")
        return None


def _maps(viewer: Viewer, examples: Sequence[Example], notes: list[str]) -> dict[str, FloatArray]:
    """Activations of the first example, (channels, h, w) by input setting."""
    found: dict[str, FloatArray] = {}
    for name, image in examples[0].images.items():
        maps = viewer.maps(image)
        try:
            before, *grid = grid_of([maps.shape[axis] for axis in viewer.layer.positions])
        except ModelError as error:
            notes.append(f"activation maps: {error}")
            return {}
        rows = np.moveaxis(maps, viewer.layer.axis, 1)[0].reshape(viewer.layer.channels, -1)
        found[name] = rows[:, before:].reshape(-1, *grid)
    return found


def _norms(
    classifier: Classifier,
    layer: FeatureLayer,
    source: ImageSource,
    places: IntArray,
    settings: Mapping[str, Setting],
    machine: Machine,
    on_batch: Callable[[int], None],
) -> tuple[dict[str, dict[str, Histogram]], int]:
    """Every channel's norms on every image, by input setting and norm, and how many images."""
    graph = norms_graph(classifier.proto, layer)
    runner = open_runner(graph, machine, batch=classifier.signature.batch)
    found: dict[str, dict[str, Histogram]] = {name: {} for name in settings}
    counted = 0
    for batch in classifier.batches(source, places):
        for setting, counts in found.items():
            given = runner.run(classifier.feeds(batch.images, settings[setting]))
            for norm, values in zip(("l1", "l2", "linf"), given, strict=True):
                rows = values[: len(batch.labels)]
                if not np.isfinite(rows).all():
                    raise InconclusiveError(
                        "the feature layer holds values that are not finite: nothing can be shown"
                    )
                part = Histogram.of(rows)
                counts[norm] = counts[norm] + part if norm in counts else part
        counted += len(batch.labels)
        on_batch(len(batch.labels))
    return found, counted


def triggered_setting(settings: Sequence[str]) -> str:
    """Of the input settings the attack's: the true trigger's where it is known."""
    return next((name for name in settings if name != CLEAN), CLEAN)
