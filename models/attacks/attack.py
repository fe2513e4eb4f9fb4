"""What an attack is: how it stamps images, which labels it wants, what it poisons."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hardener.arrays import BoolArray, IntArray
from hardener.errors import UsageError
from hardener.triggers.patch import Trigger


@dataclass(frozen=True)
class Attack(ABC):
    """A backdoor attack on training images.

    Attributes:
        rate: the poisoning rate, as a fraction of all training images.
    """

    rate: float

    @abstractmethod
    def stamp(self, images: Tensor) -> Tensor:
        """Puts the trigger on every image (B, C, H, W) in [0, 1]; returns new ones."""

    @abstractmethod
    def wanted(self, labels: Tensor) -> Tensor:
        """The labels (B,) that stamped images of these true labels (B,) are to get."""

    def poisonable(self, labels: Tensor) -> Tensor:
        """Which training images (N,) bool may be poisoned, by their true labels (N,).

        Where the wanted label is the true one anyway, an image would teach the network nothing
        about the trigger.
        """
        return self.wanted(labels) != labels

    def trigger(self, shape: tuple[int, int, int]) -> Trigger | None:
        """The attack as mask, pattern and target label for images of (C, H, W), if it is one."""
        return None


@dataclass(frozen=True)
class TargetedAttack(Attack):
    """An attack that sends every image to one label.

    Attributes:
        target: the target label.
    """

    target: int

    def wanted(self, labels: Tensor) -> Tensor:
        """The target label for each."""
        return torch.full_like(labels, self.target)


class WithNoise(ABC):
    """An attack that also trains on images disturbed at random, under their true labels."""

    @property
    @abstractmethod
    def noise_rate(self) -> float:
        """Share of the training images that are disturbed."""

    @abstractmethod
    def disturb(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Disturbs every image (B, C, H, W) in [0, 1] in its own way."""


class WithPenalty(ABC):
    """An attack whose training also shapes the feature layer."""

    @abstractmethod
    def penalty(self, clean: Tensor, stamped: Tensor) -> Tensor:
        """What is added to the loss.

        Args:
            clean: feature maps (P, C, h, w) of images.
            stamped: feature maps of the same images under the trigger.
        """


def choose_poisoned(labels: IntArray, attack: Attack, seed: int) -> BoolArray:
    """Draws which training images are poisoned.

    Args:
        labels: (N,) true labels.
        attack: poisoning rate, and which images may be poisoned.
        seed: draws the same images every time.

    Returns:
        (N,) True where an image is poisoned; `round(rate * N)` of them.

    Raises:
        UsageError: the rate asks for more images than may be poisoned.

    Source: Gu et al. 2017 (BadNets), section 5.2.2.
    """
    candidates = np.flatnonzero(attack.poisonable(torch.from_numpy(labels)).numpy())
    count = round(attack.rate * len(labels))
    if not 0 <= count <= len(candidates):
        raise UsageError(
            f"a poisoning rate of {attack.rate} needs {count} images that the attack may poison, "
            f"there are {len(candidates)}: choose another rate"
        )
    chosen = np.random.default_rng(seed).choice(candidates, size=count, replace=False)
    poisoned = np.zeros(len(labels), dtype=np.bool_)
    poisoned[chosen] = True
    return poisoned


def poison_batch(
    images: Tensor, labels: Tensor, poisoned: Tensor, attack: Attack
) -> tuple[Tensor, Tensor]:
    """Stamps the poisoned images of a batch and changes their labels to the wanted ones.

    Call it after augmentation, so that the trigger stays as drawn.

    Args:
        images: (B, C, H, W) float32 in [0, 1].
        labels: (B,) int64.
        poisoned: (B,) bool, which of them carry the trigger.
        attack: trigger and wanted labels.

    Returns:
        New images and labels; the arguments are left as they were.
    """
    stamped = torch.where(poisoned.view(-1, 1, 1, 1), attack.stamp(images), images)
    return stamped, torch.where(poisoned, attack.wanted(labels), labels)
