"""What can be said of a model without images: margins and the last layer's weights.

Alone they never show that a model is clean. Where a scan has images they are recorded beside its
own evidence and change neither verdict nor score.
"""

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import nn

from hardener.errors import InconclusiveError, ModelError
from hardener.model.blind_spots import blind_spots
from hardener.model.classifier import Classifier
from hardener.model.gradients import differentiable
from hardener.model.linear_head import linear_head
from hardener.progress import Progress, counting
from hardener.results import LastLayerEvidence, MarginEvidence, Verdict
from hardener.scanning.last_layer import row_indices
from hardener.scanning.margins import MARGINS, AscentSettings, largest_margins, p_value
from hardener.scanning.verdict import BACKDOORED_SCORE, LEAST_LABELS

CONCLUSIVE_P_VALUE = 1e-4
"""Of the margins' test: below it a model is called backdoored without any image. Set by hand."""

_EXAMPLES = 4


@dataclass(frozen=True)
class WithoutImages:
    """Evidence that needed no images.

    Attributes:
        margins: None where the search met values that are not finite.
        last_layer: None where the graph does not end in a fully connected layer.
        reasons: one sentence on each.
    """

    margins: MarginEvidence | None
    last_layer: LastLayerEvidence | None
    reasons: tuple[str, ...]


def differentiable_on_noise(classifier: Classifier, seed: int) -> nn.Module:
    """The classifier as a torch module, compared with onnxruntime on images of noise.

    Raises:
        InconclusiveError: the model's logits are not finite.
        ModelError: an operator has no gradient, or torch and onnxruntime disagree.
    """
    preprocessing = classifier.preprocessing
    shape = (_EXAMPLES, preprocessing.channels, *preprocessing.size)
    noise = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return differentiable(classifier.proto, classifier.signature, preprocessing.apply(noise))


def look_without_images(
    classifier: Classifier,
    network: nn.Module,
    seed: int,
    progress: Progress,
    device: torch.device,
    settings: AscentSettings = MARGINS,
) -> WithoutImages:
    """Searches every label's largest margin and reads the last layer's weights.

    Args:
        classifier: the model.
        network: the same as a torch module.
        seed: of the search's starting points.
        progress: told how far the search is.
        device: where to search.
        settings: the search's budget.
    """
    margins, said = _margins(classifier, network, seed, progress, device, settings)
    last_layer, also_said = _last_layer(classifier)
    return WithoutImages(margins, last_layer, (said, also_said))


def judge_without_images(found: WithoutImages) -> tuple[Verdict, float, tuple[int, ...]]:
    """Verdict, score in [0, 1] and target labels where there is nothing but this evidence.

    The score grows with the logarithm of the p-value and is `BACKDOORED_SCORE` at the threshold.

    Raises:
        InconclusiveError: there are no margins.
    """
    if found.margins is None:
        raise InconclusiveError(f"{found.reasons[0]}: nothing can be said without images")
    p = found.margins.p_value
    if p is None:
        return "inconclusive", 0.0, ()
    score = 1.0 if p <= 0 else min(1.0, BACKDOORED_SCORE * log(p) / log(CONCLUSIVE_P_VALUE))
    if p < CONCLUSIVE_P_VALUE:
        return "backdoored", score, (found.margins.suspect,)
    return "inconclusive", score, ()


def left_out_without_images(classifier: Classifier, verdict: Verdict) -> tuple[str, ...]:
    """Sentences on what a scan without images did not look at."""
    return (
        *(("a lead this far beyond the other labels' is what a backdoor leaves behind",)
          if verdict == "backdoored" else ()),
        "there were no images: no trigger was searched or tried, no accuracy and no channel was "
        "measured",
        *(("without images a model is never called clean: scan it again with --data",)
          if verdict != "backdoored" else ()),
        *classifier.signature.notes,
        *blind_spots(classifier.proto, classifier.signature),
    )  # fmt: skip


def _margins(
    classifier: Classifier,
    network: nn.Module,
    seed: int,
    progress: Progress,
    device: torch.device,
    settings: AscentSettings,
) -> tuple[MarginEvidence | None, str]:
    classes = classifier.signature.classes
    on_step = counting(progress, "searching margins", settings.steps * classes)
    try:
        largest = largest_margins(
            network, classifier.preprocessing, classes, settings, seed, on_step, device
        )
    except InconclusiveError as error:
        return None, str(error)
    p = p_value(largest)
    suspect = int(largest.argmax())
    evidence = MarginEvidence(
        largest=tuple(float(margin) for margin in largest), suspect=suspect, p_value=p
    )
    said = (
        f"on images made for it, without data, label {suspect} gets furthest ahead of the others: "
        f"by {largest[suspect]:.1f}, where the median label gets {float(np.median(largest)):.1f}"
    )
    if p is None:
        return evidence, f"{said}; too few labels lead anywhere to test that: {LEAST_LABELS} needed"
    return evidence, f"{said} (p-value {p:.1e})"


def _last_layer(classifier: Classifier) -> tuple[LastLayerEvidence | None, str]:
    try:
        rows = linear_head(classifier.proto, classifier.signature)
    except ModelError as error:
        return None, f"the last layer's weights were not looked at: {error}"
    if not np.isfinite(rows).all():
        return None, "the last layer's weights were not looked at: they are not finite"
    indices = row_indices(rows)
    suspect = int(indices.argmax())
    evidence = LastLayerEvidence(
        mean_weights=tuple(float(row.mean()) for row in rows),
        anomaly_indices=tuple(float(index) for index in indices),
        suspect=suspect,
    )
    return evidence, (
        f"label {suspect} has the largest mean weight in the last layer, anomaly index "
        f"{indices[suspect]:.1f}"
    )
