"""Accuracy, attack success rate and robust accuracy of a trained victim."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.attacks.attack import Attack
from models.datasets import Split
from models.networks import Network, normalise

_BATCH_SIZE = 512


@dataclass(frozen=True)
class Quality:
    """How a victim does on a split, as fractions in [0, 1].

    Attributes:
        images: number of clean images.
        accuracy: share of clean images put into their true label.
        triggered_images: number of images whose true label is not the one the attack wants.
        attack_success_rate: share of those that the trigger sends to the wanted label.
        robust_accuracy: share of those that keep their true label under the trigger.
    """

    images: int
    accuracy: float
    triggered_images: int | None = None
    attack_success_rate: float | None = None
    robust_accuracy: float | None = None


def measure(model: Network, split: Split, attack: Attack | None) -> Quality:
    """Measures a network in float32, as its ONNX export runs.

    Args:
        model: the network.
        split: images and true labels.
        attack: its backdoor; None for a clean victim.
    """
    accuracy = _mean(predict(model, split.images) == split.labels)
    if attack is None:
        return Quality(len(split), accuracy)
    wanted = attack.wanted(split.labels)
    others = wanted != split.labels
    predicted = predict(model, split.images, attack)
    return Quality(
        len(split),
        accuracy,
        triggered_images=int(others.sum()),
        attack_success_rate=_mean((predicted == wanted)[others]),
        robust_accuracy=_mean((predicted == split.labels)[others]),
    )


def predict(model: Network, images: Tensor, attack: Attack | None = None) -> Tensor:
    """Predicted labels (N,) of uint8 images (N, C, H, W), stamped first if an attack is given."""
    model.eval()
    labels = []
    with torch.inference_mode():
        for pixels in torch.split(images, _BATCH_SIZE):
            batch = pixels.float() / 255
            if attack is not None:
                batch = attack.stamp(batch)
            labels.append(model(normalise(batch, model)).argmax(dim=1))
    return torch.cat(labels)


def _mean(hits: Tensor) -> float:
    return hits.double().mean().item()
