"""What can be said of a model without images: margins and the last layer's weights.

Alone they never show that a model is clean. Where a scan has images they stand beside its own
evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10

import numpy as np
import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.documents.scan import LastLayerEvidence, MarginEvidence, Verdict
from hardener.errors import InconclusiveError, ModelError
from hardener.model.blind_spots import blind_spots
from hardener.model.classifier import Classifier
from hardener.model.gradients import differentiable
from hardener.model.linear_head import linear_head
from hardener.progress import Progress, counting
from hardener.scanning.calibration import Calibration, shipped
from hardener.scanning.last_layer import row_indices
from hardener.scanning.margins import (
    MARGINS,
    AscentSettings,
    largest_margins,
    p_value,
    within_budget,
)
from hardener.scanning.verdict import LEAST_LABELS

_EXAMPLES = 4
_SMALLEST_P_VALUE = 1e-30


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
    settings = margin_settings(classifier, settings)
    margins, said = _margins(classifier, network, seed, progress, device, settings)
    last_layer, also_said = _last_layer(classifier)
    return WithoutImages(margins, last_layer, (said, also_said))


def margin_settings(classifier: Classifier, settings: AscentSettings = MARGINS) -> AscentSettings:
    """How long a model's labels climb, within the budget."""
    preprocessing = classifier.preprocessing
    values = preprocessing.channels * int(np.prod(preprocessing.size))
    return within_budget(settings, classifier.signature.classes, values)


def label_scores(
    found: WithoutImages, classes: int, calibration: Calibration | None = None
) -> FloatArray:
    """Suspicion (classes,) of each label in [0, 1] by margins and weights, the stronger of both.

    Args:
        found: the evidence.
        classes: of the model.
        calibration: how evidence becomes a score; by default the shipped one.
    """
    calibration = calibration or shipped()
    scores = np.zeros(classes, np.float32)
    if found.margins is not None and found.margins.p_value is not None:
        quantity = margin_quantity(found.margins.p_value)
        scores[found.margins.suspect] = calibration.margin(np.array(quantity, np.float32))
    if found.last_layer is not None and classes >= LEAST_LABELS:
        quantities = row_quantities(found.last_layer.anomaly_indices)
        scores = np.maximum(scores, calibration.last_layer(quantities))
    return scores


def accused_unsearched(
    scores: FloatArray, searched: Sequence[int], calibration: Calibration | None = None
) -> tuple[str, ...]:
    """Sentences on labels that stand out without images and whose triggers were not searched.

    Args:
        scores: (classes,) what `label_scores` gives.
        searched: labels that were.
        calibration: from which score on a label stands out; by default the shipped one.
    """
    calibration = calibration or shipped()
    accused = set(map(int, np.flatnonzero(scores >= calibration.clean_below))) - set(searched)
    return tuple(
        f"label {label} stands out in the network itself and its triggers were not searched"
        for label in sorted(accused)
    )


def margin_quantity(p_value: float) -> float:
    """What the margin's curve is over: 1 for a p-value of 1, near 0 for tiny ones."""
    return 1 / (1 - log10(max(p_value, _SMALLEST_P_VALUE)))


def row_quantities(anomaly_indices: Sequence[float]) -> FloatArray:
    """What the last layer's curve is over: 1 for an index up to 1, near 0 for large ones."""
    indices = np.maximum(np.float32(1), np.asarray(anomaly_indices, np.float32))
    found: FloatArray = (1 / indices).astype(np.float32)
    return found


def judge_without_images(
    found: WithoutImages, scores: FloatArray, calibration: Calibration | None = None
) -> tuple[Verdict, float, tuple[int, ...]]:
    """Verdict, score in [0, 1] and target labels where there is nothing but this evidence.

    Args:
        found: the evidence.
        scores: (classes,) what `label_scores` makes of it.
        calibration: from which score on a label is a target; by default the shipped one.

    Raises:
        InconclusiveError: there are no margins.
    """
    calibration = calibration or shipped()
    if found.margins is None:
        raise InconclusiveError(f"{found.reasons[0]}: nothing can be said without images")
    targets = tuple(map(int, np.flatnonzero(scores >= calibration.backdoored_from)))
    return "backdoored" if targets else "inconclusive", float(scores.max()), targets


def left_out_without_images(classifier: Classifier, verdict: Verdict) -> tuple[str, ...]:
    """Sentences on what a scan without images did not look at."""
    return (
        *(("a label that stands out so far in the network itself is what a backdoor leaves behind",)
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
    if settings.steps < MARGINS.steps:
        said += f" in {settings.steps} steps, all that so many labels leave time for"
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
