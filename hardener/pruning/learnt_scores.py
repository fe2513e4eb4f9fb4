"""Scores of the criteria that learn masks: the images they learn on, and the networks."""

from collections.abc import Sequence

import numpy as np

from hardener.arrays import FloatArray
from hardener.data.splits import stratified_sample
from hardener.model.channel_scaling import scaled_network
from hardener.model.convolutions import Convolution
from hardener.model.gradients import torch_on
from hardener.progress import counting
from hardener.pruning.adversarial_pruning import ADVERSARIAL_DESCENT, adversarial_scores
from hardener.pruning.candidate import Choosing
from hardener.pruning.mask_learning import LabelledImages
from hardener.pruning.reconstructive_pruning import (
    RECOVERING,
    UNLEARNING,
    reconstructive_scores,
    unlearned,
)

_FITTED_IMAGES = 500
"""As many as the papers of both learn on."""


def anp(choosing: Choosing, convolutions: Sequence[Convolution]) -> list[FloatArray]:
    """Scores (C,) for each convolution by adversarial neuron pruning.

    Masks are learnt on at most 500 of the choosing images, as evenly from every class as they
    allow, and on their labels.

    Raises:
        InconclusiveError: a loss is not finite.
        ModelError: an operator has no gradient here.
    """
    proto, signature = choosing.classifier.proto, choosing.classifier.signature
    images, device = _images(choosing), torch_on(choosing.machine)
    scaled = scaled_network(proto, signature, convolutions, device)
    on_step = counting(choosing.progress, "learning masks", ADVERSARIAL_DESCENT.steps)
    return adversarial_scores(scaled, images, choosing.seed, on_step)


def rnp(choosing: Choosing, convolutions: Sequence[Convolution]) -> list[FloatArray]:
    """Scores (C,) for each convolution by reconstructive neuron pruning; as `anp`."""
    proto, signature = choosing.classifier.proto, choosing.classifier.signature
    images, device = _images(choosing), torch_on(choosing.machine)
    on_step = counting(choosing.progress, "unlearning", UNLEARNING.steps)
    proto = unlearned(proto, signature, images, choosing.seed, device, on_step)
    scaled = scaled_network(proto, signature, convolutions, device)
    on_step = counting(choosing.progress, "learning masks", RECOVERING.steps)
    return reconstructive_scores(scaled, images, choosing.seed, on_step)


def _images(choosing: Choosing) -> LabelledImages:
    labels = choosing.source.labels[choosing.indices]
    fitted = choosing.indices[stratified_sample(labels, _FITTED_IMAGES, choosing.seed)]
    batches = list(choosing.classifier.batches(choosing.source, fitted))
    preprocessing = choosing.classifier.preprocessing
    return LabelledImages(
        np.concatenate([preprocessing.apply(batch.images) for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
    )
