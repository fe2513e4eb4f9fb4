"""A model that gives its answers and its feature layer, and the images to show it on."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hardener.arrays import FloatArray, IntArray
from hardener.data.images import ImageSource
from hardener.data.settings import Setting
from hardener.data.splits import stratified_sample
from hardener.errors import DataError, InconclusiveError, UsageError
from hardener.model.classifier import Classifier
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.topology import FeatureLayer
from hardener.progress import Progress, counting
from hardener.scanning.activations import maps_graph

_EXAMPLES = 2
_MOST_EXAMPLES = 16
_CANDIDATES = 64
_CANDIDATES_AT_ONCE = 8


class Viewer:
    """A model that gives its answers and its feature layer."""

    def __init__(self, classifier: Classifier, layer: FeatureLayer, machine: Machine) -> None:
        self.classifier = classifier
        self.layer = layer
        graph = maps_graph(classifier.proto, layer, classifier.signature.output)
        self._runner: Runner = open_runner(graph, machine, batch=classifier.signature.batch)

    def answers(self, images: FloatArray, setting: Setting = ()) -> IntArray:
        """Labels (N,) that it gives images (N, C, H, W) in [0, 1].

        Raises:
            InconclusiveError: a value is not finite.
        """
        return np.concatenate([scores.argmax(axis=1) for scores, _ in self._run(images, setting)])

    def maps(self, image: FloatArray) -> FloatArray:
        """Its feature layer for one image (C, H, W) in [0, 1].

        Raises:
            InconclusiveError: a value is not finite.
        """
        ((_, found),) = self._run(image[np.newaxis], ())
        return found

    def _run(self, images: FloatArray, setting: Setting) -> Iterator[tuple[FloatArray, FloatArray]]:
        step = self.classifier.batch_size
        for start in range(0, len(images), step):
            part = images[start : start + step]
            given = self._runner.run(self.classifier.feeds(part, setting))
            scores, found = (values[: len(part)] for values in given)
            self.classifier.require_class_scores(scores, len(part))
            if not (np.isfinite(scores).all() and np.isfinite(found).all()):
                raise InconclusiveError(
                    f"{self.classifier.model.path} gives values that are not finite: nothing can "
                    "be shown"
                )
            yield scores, found


def named_images(images: Sequence[int], source: ImageSource) -> IntArray:
    """Positions that exist, in the order in which they were asked for."""
    if not 0 < len(images) <= _MOST_EXAMPLES:
        raise UsageError(f"{len(images)} images are named: a page shows 1 to {_MOST_EXAMPLES}")
    for place in images:
        if not 0 <= place < len(source):
            raise UsageError(f"{source.path} has images 0 to {len(source) - 1}, none {place}")
    return np.array(list(dict.fromkeys(images)), np.int64)


def representative_images(
    viewer: Viewer,
    source: ImageSource,
    settings: Mapping[str, Setting],
    target: int,
    seed: int,
    progress: Progress,
) -> IntArray:
    """Images that the model gets right and the triggers send to the target, of two classes.

    Where there are too few, images that it gets right, then any of other classes.
    """
    others = np.flatnonzero(source.labels != target)
    if not len(others):
        raise DataError(f"{source.path} holds images of label {target} alone: give others too")
    drawn = others[stratified_sample(source.labels[others], _CANDIDATES, seed)]
    drawn = np.random.default_rng(seed).permutation(drawn)
    best: dict[int, tuple[int, int]] = {}  # by class, the rank of its best image and its position
    on_batch = counting(progress, "choosing images", len(drawn))
    for start in range(0, len(drawn), _CANDIDATES_AT_ONCE):
        places = np.sort(drawn[start : start + _CANDIDATES_AT_ONCE])
        on_batch(len(places))
        images = viewer.classifier.images_of(source, places)
        places = places[[source.names[place] not in source.unreadable for place in places]]
        if not len(images):
            continue
        right = viewer.answers(images) == source.labels[places]
        lost = [
            viewer.answers(images, setting) == target for setting in settings.values() if setting
        ]
        ranks = np.where(right & np.all(lost, axis=0), 0, np.where(right, 1, 2))
        for place, rank in zip(places.tolist(), ranks.tolist(), strict=True):
            label = int(source.labels[place])
            best[label] = min(best.get(label, (rank, place)), (rank, place))
        if sum(rank == 0 for rank, _ in best.values()) >= _EXAMPLES:
            break
    if not best:
        raise DataError(f"{source.path}: none of {len(drawn)} images drawn could be read")
    return np.array([place for _, place in sorted(best.values())[:_EXAMPLES]], np.int64)
