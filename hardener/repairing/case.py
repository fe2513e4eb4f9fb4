"""What is repaired, and which of the clean images serve what."""

from dataclasses import dataclass

import numpy as np

from hardener.arrays import IntArray
from hardener.data.images import ImageSource
from hardener.data.similar import similar_groups, thumbnails
from hardener.data.splits import grouped_parts, stratified_sample
from hardener.measuring.suitability import check_others
from hardener.model.classifier import Classifier
from hardener.repairing.trials import Trial
from hardener.scanning.found_exchanges import exchanges_labels
from hardener.scanning.saved import SavedScan
from hardener.subject import Subject

_LARGEST_FITTED_BYTES = 1 << 30


@dataclass(frozen=True, eq=False)
class Case:
    """What is repaired, and which images serve what.

    Attributes:
        subject: the model, images, the machine and the seed.
        source: those images.
        saved: the scan.
        groups: (N,) which images are alike.
        fitted: positions of the images that are fitted on.
        chosen_on: of those that choose.
        reported_on: of those that report.
    """

    subject: Subject
    source: ImageSource
    saved: SavedScan
    groups: IntArray
    fitted: IntArray
    chosen_on: IntArray
    reported_on: IntArray

    @property
    def held_out(self) -> IntArray:
        """Positions of all images that nothing is fitted on."""
        return np.sort(np.concatenate([self.chosen_on, self.reported_on]))

    @property
    def trial(self) -> Trial:
        """How models are measured."""
        return Trial(self.subject.classifier, self.source, self.subject.machine)


def case_of(subject: Subject, saved: SavedScan) -> Case:
    """Divides the images.

    Raises:
        InconclusiveError: too few images are of other classes than a target.
    """
    classifier, source, scanned = subject.classifier, subject.source, saved.result
    assert source is not None  # noqa: S101  a repair has images
    groups = similar_groups(thumbnails(classifier.batches(source), len(source)), source.labels)
    fitted, *others = grouped_parts(source.labels, groups, (2, 1, 1), subject.seed)
    for indices in () if exchanges_labels(scanned) else others:
        targets = scanned.targets or (scanned.suspect,)
        check_others(source.labels[indices], targets, str(source.path))
    return Case(subject, source, saved, groups, fitted, *others)


def affordable(indices: IntArray, labels: IntArray, classifier: Classifier, seed: int) -> IntArray:
    """Those of `indices`, evenly from every class, that fit the memory for them."""
    height, width = classifier.preprocessing.size
    allowed = _LARGEST_FITTED_BYTES // (4 * classifier.signature.channels * height * width)
    if len(indices) <= allowed:
        return indices
    return indices[stratified_sample(labels[indices], max(1, allowed), seed)]
