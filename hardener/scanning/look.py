"""What detectors look at: a subject, samples of its images, and what several of them need."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from hardener.arrays import FloatArray, IntArray
from hardener.data.images import ImageSource
from hardener.data.splits import stratified_sample
from hardener.documents.document import tool_version
from hardener.errors import DataError, UsageError
from hardener.files import sha256_of
from hardener.model.gradients import differentiable, torch_on
from hardener.progress import Progress, counting, silent
from hardener.scanning.awakening import AWAKENING_STAGE, awakening, with_woken
from hardener.scanning.label_search import Found, Searches, density_for, find_triggers
from hardener.scanning.planning import LabelPlan, plan_for
from hardener.scanning.screening import SQUARES_STAGE, Squares, places, try_squares
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished, code_digest
from hardener.subject import Subject

_FITTED_IMAGES = 512
_UNSEEN_IMAGES = 172
"""Apart from those: what most exchanges labels is tried on them."""
_TRIED_IMAGES = 86
"""Of those: every trigger is tried on them."""
_LARGEST_FITTED_BYTES = 1 << 30
_EXAMPLES = 4


@dataclass(frozen=True, eq=False)
class Samples:
    """Which of the images serve what.

    Attributes:
        fitted: (N, C, H, W) images in [0, 1] that triggers are searched on.
        unseen: positions of others, for what was not chosen on them.
        tried: of those the positions of images that every trigger is tried on.
    """

    fitted: FloatArray
    unseen: IntArray
    tried: IntArray


@dataclass(frozen=True, eq=False)
class Look:
    """One scan's view of a subject.

    Attributes:
        subject: the model, its images and what runs it.
        device: where torch computes.
        labels: which labels to look at, ascending.
        searches: budgets and seed of the searches for triggers.
        samples: of the images; empty where there are none.
        kept: where finished pieces of long work lie.
        progress: told how far it is.
    """

    subject: Subject
    device: torch.device
    labels: tuple[int, ...]
    searches: Searches
    samples: Samples
    kept: Unfinished = NOTHING_KEPT
    progress: Progress = silent

    @property
    def source(self) -> ImageSource:
        """The clean images.

        Raises:
            UsageError: there are none.
        """
        if self.subject.source is None:
            raise UsageError("there are no images to look at: give --data")
        return self.subject.source

    @property
    def plan(self) -> LabelPlan | None:
        """How the labels share the budget; None where each is searched in full."""
        return plan_for(len(self.labels), int(np.prod(self.samples.fitted.shape[1:])))

    @cached_property
    def network(self) -> nn.Module:
        """The model as a torch module, compared with onnxruntime on images or, without, on noise.

        Raises:
            InconclusiveError: the model's logits are not finite.
            ModelError: an operator has no gradient, or torch and onnxruntime disagree.
        """
        classifier, examples = self.subject.classifier, self.samples.fitted[:_EXAMPLES]
        if self.subject.source is None:
            shape = (_EXAMPLES, *examples.shape[1:])
            examples = np.random.default_rng(self.subject.seed).random(shape, dtype=np.float32)
        return differentiable(
            classifier.proto, classifier.signature, classifier.preprocessing.apply(examples)
        )

    @cached_property
    def squares(self) -> Squares:
        """What solid squares do to the fitted images, and windows of images made for labels."""
        preprocessing = self.subject.classifier.preprocessing
        density = density_for(self.plan, preprocessing)
        count = places(*preprocessing.size, density.steps_per_side)
        shared = self.network, self.samples.fitted, preprocessing, self.labels
        on_place = counting(self.progress, SQUARES_STAGE, count)
        squares = try_squares(*shared, on_place, self.device, density, self.kept)
        steps = awakening(len(self.labels), preprocessing).steps * len(self.labels)
        on_step = counting(self.progress, AWAKENING_STAGE, steps)
        return with_woken(squares, *shared, self.subject.seed, on_step, self.device)

    @cached_property
    def found(self) -> Found:
        """The triggers that searches for each label come to.

        Raises:
            InconclusiveError: a search met values that are not finite.
        """
        return find_triggers(
            self.network,
            self.samples.fitted,
            self.subject.classifier.preprocessing,
            self.labels,
            self.searches,
            self.squares,
            self.device,
            self.progress,
            self.kept,
        )

    @property
    def depends_on(self) -> Mapping[str, object]:
        """All that what is found depends on, by name."""
        classifier, images = self.subject.classifier, self.samples.fitted
        cpu = torch.cpu.get_capabilities().get("cpu_name")
        return {
            "code": (tool_version(), code_digest()),
            "libraries": (torch.__version__, np.__version__),
            "model": classifier.identity.sha256,
            "external": [sha256_of(path) for path in classifier.model.external],
            "preprocessing": classifier.preprocessing,
            "images": (images.shape, hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()),
            "device": (str(self.device), self.subject.machine.threads, cpu),
            "labels": list(self.labels),
            "searches": self.searches,
        }


def start_look(subject: Subject, labels: Sequence[int] | None, searches: Searches) -> Look:
    """Settles which labels and which images are looked at.

    Args:
        subject: the model and its images.
        labels: which labels; all if None.
        searches: budgets and seed of the searches for triggers.

    Raises:
        UsageError: a label is none of the model's.
        DataError: there are too few images.
    """
    wanted = _wanted(labels, subject.classifier.signature.classes)
    device = torch_on(subject.machine)
    return Look(subject, device, wanted, searches, _samples(subject, len(wanted)))


def _wanted(labels: Sequence[int] | None, classes: int) -> tuple[int, ...]:
    if labels is None:
        return tuple(range(classes))
    wanted = tuple(sorted(set(labels)))
    if not wanted or wanted[0] < 0 or wanted[-1] >= classes:
        raise UsageError(f"labels {list(wanted)} are not all among the model's 0 to {classes - 1}")
    return wanted


def _samples(subject: Subject, labels: int) -> Samples:
    """Images to search on and, apart from them, others to try what was found on."""
    classifier, source, seed = subject.classifier, subject.source, subject.seed
    shape = (classifier.preprocessing.channels, *classifier.preprocessing.size)
    if source is None:
        return Samples(np.empty((0, *shape), np.float32), *2 * (np.empty(0, np.int64),))
    image_values = int(np.prod(shape))
    allowed = max(1, min(_FITTED_IMAGES, _LARGEST_FITTED_BYTES // (4 * image_values)))
    # Of few images half are left, so that success is never rated on fitted ones.
    fitted = stratified_sample(source.labels, min(allowed, len(source) // 2), seed)
    if not len(fitted):
        raise DataError(f"{source.path} holds {len(source)} images: a scan needs at least 2")
    left = np.setdiff1d(np.arange(len(source)), fitted)
    unseen = left[stratified_sample(source.labels[left], _UNSEEN_IMAGES, seed)]
    plan = plan_for(labels, image_values)
    enough = _TRIED_IMAGES if plan is None else min(_TRIED_IMAGES, plan.tried_images)
    tried = unseen[stratified_sample(source.labels[unseen], enough, seed)]
    return Samples(classifier.images_of(source, fitted), unseen, tried)
