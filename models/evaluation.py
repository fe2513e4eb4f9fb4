"""Accuracy, attack success rate and robust accuracy of a trained victim."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hardener.data.triggers import Trigger
from models.alexnet import AlexNet
from models.datasets import Split
from models.fitting import normalise

_BATCH_SIZE = 512


@dataclass(frozen=True)
class Quality:
    """How a victim does on a split, as fractions in [0, 1].

    Attributes:
        images: number of clean images.
        accuracy: share of clean images put into their true label.
        triggered_images: number of images whose true label is not the target.
        attack_success_rate: share of those that the trigger sends to the target label.
        robust_accuracy: share of those that keep their true label under the trigger.
    """

    images: int
    accuracy: float
    triggered_images: int | None = None
    attack_success_rate: float | None = None
    robust_accuracy: float | None = None


def measure(model: AlexNet, split: Split, trigger: Trigger | None) -> Quality:
    """Measures a network in float32, as its ONNX export runs.

    Args:
        model: the network.
        split: images and true labels.
        trigger: its backdoor's trigger; None for a clean victim.
    """
    accuracy = _mean(predict(model, split.images) == split.labels)
    if trigger is None:
        return Quality(len(split), accuracy)
    others = split.labels != trigger.label
    predicted = predict(model, split.images[others], trigger)
    return Quality(
        len(split),
        accuracy,
        triggered_images=len(predicted),
        attack_success_rate=_mean(predicted == trigger.label),
        robust_accuracy=_mean(predicted == split.labels[others]),
    )


def predict(model: AlexNet, images: Tensor, trigger: Trigger | None = None) -> Tensor:
    """Predicted labels (N,) of uint8 images (N, 3, H, W), stamped first if a trigger is given."""
    model.eval()
    labels = []
    with torch.inference_mode():
        for pixels in torch.split(images, _BATCH_SIZE):
            batch = pixels.float() / 255
            if trigger is not None:
                batch = torch.from_numpy(trigger.stamp(batch.numpy()))
            labels.append(model(normalise(batch, model)).argmax(dim=1))
    return torch.cat(labels)


def _mean(hits: Tensor) -> float:
    return hits.double().mean().item()
