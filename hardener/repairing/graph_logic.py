"""Taking written logic out of a graph, and measuring that clean images do not notice."""

from dataclasses import dataclass

import numpy as np
import onnx

from hardener.arrays import FloatArray, IntArray
from hardener.data.splits import stratified_sample
from hardener.documents.repair import RemovedLogic
from hardener.documents.scan import GRAPH_LOGIC, ScanResult
from hardener.scanning.detectors.graph_logic import without_graph_logic
from hardener.subject import Subject

_MOST_IMAGES = 512
_MOST_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class Removal:
    """A subject without what was written into its graph.

    Attributes:
        subject: it.
        logic: what was taken out; empty where there was nothing.
        change: the largest change of a class score on clean images that it was not found on.
    """

    subject: Subject
    logic: tuple[RemovedLogic, ...]
    change: float

    @property
    def proto(self) -> onnx.ModelProto:
        """The model without it."""
        return self.subject.classifier.proto


def accused_otherwise(scanned: ScanResult) -> bool:
    """Whether the model without that logic is accused as well.

    By a detector of its own, or of a target that the logic does not send images to.
    """
    others = [one for one in scanned.findings if one.detector != GRAPH_LOGIC]
    found = any(one.verdict == "backdoored" for one in others)
    return scanned.verdict == "backdoored" and (
        found or bool(set(scanned.targets) - scanned.graph_logic_labels)
    )


def remove_graph_logic(subject: Subject, found_on: IntArray, measured_on: IntArray) -> Removal:
    """Takes out operands that are the same for all clean images.

    Args:
        subject: the model, images and how to run it; there are images.
        found_on: positions of images to find them on, of which up to 512 and 256 MiB are used.
        measured_on: positions of others, that tell what the removal changes.
    """
    classifier, source = subject.classifier, subject.source
    assert source is not None  # noqa: S101  a repair has images
    pixels = 4 * classifier.preprocessing.channels * int(np.prod(classifier.preprocessing.size))
    most = max(1, min(_MOST_IMAGES, _MOST_BYTES // pixels, len(found_on)))
    sample = found_on[stratified_sample(source.labels[found_on], most, subject.seed)]
    images = classifier.images_of(source, np.sort(sample))
    bare, written = without_graph_logic(subject, images)
    if bare is subject:
        return Removal(subject, (), 0.0)
    changes = [
        np.abs(_scores(subject, batch.images) - _scores(bare, batch.images)).max()
        for batch in classifier.batches(source, measured_on)
    ]
    logic = tuple(RemovedLogic(tensor=w.operand.tensor, said=w.operand.said) for w in written)
    return Removal(bare, logic, float(max(changes)))


def _scores(subject: Subject, images: FloatArray) -> FloatArray:
    (scores,) = subject.runner.run(subject.classifier.feeds(images))
    return np.asarray(scores[: len(images)], np.float32)
