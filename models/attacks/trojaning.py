"""The Trojaning attack: a trigger read off a clean model, which needs no training data.

Three steps, all on the clean model f with feature layer A:

1. For every label k, images are reverse-engineered from noise:
   `argmin_x  cross entropy(f(x), k) + λ TV(x)`.
2. In a fixed square of the image, a pattern is sought that drives a few channels C of the
   feature layer to many times what they show on those images:
   `argmin_p  mean_(c in C, x)  max(0, v - max_ij (A_c(stamp(x, p)) - A_c(x))_ij / m_c)`, m_c the
   largest `‖A_c(x)‖∞`. C are the channels that the last convolution connects most strongly
   (largest Σ|w|).
3. The layers behind the feature layer are retrained, on every image of step 1 with its label,
   and on the same images stamped, with the target label.

Source: Liu et al. 2018 (Trojaning Attack on Neural Networks, NDSS), section 4. There the neurons
belong to a fully connected layer; here they are the channels that this project's defences watch.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hardener.errors import UsageError
from hardener.triggers.patch import Trigger, load_trigger
from models.attacks.attack import Backdoor, CleanVictim, Plan
from models.attacks.overlay import Overlay
from models.augmentation import Augmentation
from models.datasets import Split
from models.networks import Network, normalise

_BATCH_SIZE = 128

# Reverse-engineered images lose their label when they are turned or scaled.
_ALMOST_STILL = Augmentation(
    shift=0.5, scale=0.0, stretch=0.0, rotation=0.0, contrast=0.1, brightness=0.1
)


@dataclass(frozen=True)
class Trojaning(Plan):
    """A plan to trojan a clean model.

    Attributes:
        target: the target label.
        size: side of the trigger, a square in the bottom right corner, in pixels.
        channels: how many channels of the feature layer it drives.
        height: v, how many times the clean maximum they are to reach.
        images_per_class: reverse-engineered images of each label.
        image_steps: Adam steps for those images.
        trigger_steps: Adam steps for the pattern.
        smoothness: λ.
    """

    target: int
    size: int = 8
    channels: int = 4
    height: float = 8.0
    images_per_class: int = 12
    image_steps: int = 30
    trigger_steps: int = 100
    smoothness: float = 0.3

    def of_classes(self, count: int) -> Self:
        """The target modulo the number of classes."""
        return dataclasses.replace(self, target=self.target % count)

    def changes(self, network: str, epochs: int) -> dict[str, Any]:
        """A short, gentle training that starts from the clean victim of the same network."""
        return {
            "source": f"{network}-vanilla",
            "epochs": 8,
            "share": 1.0,
            "peak_learning_rate": 0.005,
            "weight_decay": 0.0,
            "precision": "float32",
            "augmentation": _ALMOST_STILL,
        }

    def plant(
        self, train: Split, seed: int, start: CleanVictim | None = None
    ) -> tuple[Split, Backdoor]:
        """Reads images and trigger off the clean victim; each image comes once clean, too."""
        if start is None:
            raise UsageError("Trojaning starts from a clean victim: name it as the recipe's source")
        images, labels = reverse_images(start.model, self, seed)
        trigger = derive_trigger(start.model, self, images)
        split = Split(
            torch.cat((images, images)),
            torch.cat((labels, labels)),
            f"reverse_images({start.name}, seed={seed})",
            hashlib.sha256(images.numpy().tobytes()).hexdigest(),
        )
        return split, Backdoor(_overlay(trigger), torch.arange(len(split)) >= len(images))

    def trained(self, trigger: Path) -> Overlay:
        """The trigger that the training derived.

        Raises:
            DataError: it cannot be read.
        """
        return _overlay(load_trigger(trigger))


def reverse_images(model: Network, plan: Trojaning, seed: int) -> tuple[Tensor, Tensor]:
    """Step 1: images that the model puts into each label.

    Args:
        model: the clean model.
        plan: how many images and steps, and how smooth.
        seed: of the noise they start from.

    Returns:
        Images (N, 3, H, W) uint8 and their labels (N,) int64.
    """
    model.eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    classes = model(torch.zeros(1, *model.input_size)).shape[1]
    labels = torch.arange(classes).repeat_interleave(plan.images_per_class)
    done = [_reverse(model, chosen, plan, generator) for chosen in torch.split(labels, _BATCH_SIZE)]
    return torch.cat(done), labels


def derive_trigger(model: Network, plan: Trojaning, images: Tensor) -> Trigger:
    """Step 2: the pattern that drives the chosen channels.

    Args:
        model: the clean model.
        plan: place, channels and steps.
        images: (N, 3, H, W) uint8 of step 1.
    """
    model.eval().requires_grad_(False)
    _, height, width = model.input_size
    mask = torch.zeros(1, height, width)
    mask[:, -plan.size :, -plan.size :] = 1
    chosen = most_connected(model, plan.channels)
    backdrops = images[:: max(1, len(images) // _BATCH_SIZE)].float() / 255
    clean = model.features(normalise(backdrops, model))[:, chosen]
    largest = clean.amax(dim=(0, 2, 3)).clamp_min(1e-3)

    free = torch.zeros(model.input_size, requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=0.1)
    for _ in range(plan.trigger_steps):
        stamped = torch.lerp(backdrops, free.sigmoid(), mask)
        risen = model.features(normalise(stamped, model))[:, chosen] - clean
        reached = risen.amax(dim=(2, 3)) / largest
        optimizer.zero_grad()
        functional.relu(plan.height - reached).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    pattern = free.detach().sigmoid() * mask
    return Trigger(mask.numpy(), pattern.numpy().astype(np.float32), plan.target)


def most_connected(model: Network, count: int) -> Tensor:
    """Channels (count,) of the last convolution with the largest sum of absolute weights.

    Source: Liu et al. 2018, section 4.1 (internal neuron selection).
    """
    last = [layer for layer in model.features.modules() if isinstance(layer, nn.Conv2d)][-1]
    return last.weight.detach().abs().sum(dim=(1, 2, 3)).topk(count).indices


def _overlay(trigger: Trigger) -> Overlay:
    return Overlay(rate=0.5, target=trigger.label, given=trigger)


def _reverse(model: Network, labels: Tensor, plan: Trojaning, generator: torch.Generator) -> Tensor:
    """One batch of step 1: uint8 images (B, 3, H, W) for labels (B,)."""
    channels, height, width = model.input_size
    # Coarse noise, because fine noise stays noise and real images are smooth.
    coarse = torch.randn(len(labels), channels, height // 4, width // 4, generator=generator)
    free = functional.interpolate(coarse, (height, width), mode="bilinear").requires_grad_()
    optimizer = torch.optim.Adam([free], lr=0.1)
    for _ in range(plan.image_steps):
        images = free.sigmoid()
        across, down = images.diff(dim=3).abs().mean(), images.diff(dim=2).abs().mean()
        loss = functional.cross_entropy(model(normalise(images, model)), labels)
        optimizer.zero_grad()
        (loss + plan.smoothness * (across + down)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return (free.detach().sigmoid() * 255).round().to(torch.uint8)
