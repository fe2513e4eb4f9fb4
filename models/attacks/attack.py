"""What an attack is: how it gets into a network, stamps images, and which labels it wants."""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from hardener.arrays import BoolArray, IntArray
from hardener.errors import UsageError
from hardener.triggers.patch import Trigger
from models.datasets import Split
from models.networks import Network


class CleanVictim(NamedTuple):
    """A network without a backdoor.

    Attributes:
        name: of its recipe.
        model: with its weights.
    """

    name: str
    model: Network


@dataclass(frozen=True, eq=False)
class Backdoor:
    """What a poisoned training adds to a clean one.

    Attributes:
        attack: trigger and wanted labels.
        poisoned: (N,) bool, the training images that carry the trigger.
    """

    attack: "Attack"
    poisoned: Tensor


@dataclass(frozen=True)
class Plan(ABC):
    """How a backdoor gets into a network: all that a recipe needs to know of an attack."""

    def changes(self, network: str, epochs: int) -> dict[str, Any]:
        """Fields of the recipe that are to be otherwise than for a clean network.

        Args:
            network: the recipe's name without the attack.
            epochs: of the clean network.
        """
        return {}

    def of_classes(self, count: int) -> Self:
        """The same attack on a data set of so many classes: labels beyond them start anew at 0.

        Args:
            count: number of labels.
        """
        return self

    @abstractmethod
    def plant(
        self, train: Split, seed: int, start: CleanVictim | None = None
    ) -> tuple[Split, Backdoor]:
        """Chooses or makes the training images, and which of them carry the trigger.

        Args:
            train: the clean training images.
            seed: of all that is drawn.
            start: the victim that the recipe names as its source.
        """

    @abstractmethod
    def trained(self, trigger: Path) -> "Attack":
        """The attack that a trained network answers to.

        Args:
            trigger: file that the training wrote; read only where the training made the trigger.
        """


@dataclass(frozen=True)
class Attack(Plan):
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

    def poison(
        self, images: Tensor, labels: Tensor, poisoned: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Stamps the poisoned images of a batch and changes their labels to the wanted ones.

        Call it after augmentation, so that the trigger stays as drawn.

        Args:
            images: (B, C, H, W) float32 in [0, 1].
            labels: (B,) int64.
            poisoned: (B,) bool, which of them carry the trigger.
            generator: for what an attack draws anew for each batch.

        Returns:
            New images and labels; the arguments are left as they were.
        """
        stamped = torch.where(poisoned.view(-1, 1, 1, 1), self.stamp(images), images)
        return stamped, torch.where(poisoned, self.wanted(labels), labels)

    def plant(
        self, train: Split, seed: int, start: CleanVictim | None = None
    ) -> tuple[Split, Backdoor]:
        """Draws the training images that carry the trigger."""
        poisoned = choose_poisoned(train.labels.numpy(), self, seed)
        return train, Backdoor(self, torch.from_numpy(poisoned))

    def trained(self, trigger: Path) -> Self:
        """The attack itself: its fields say everything."""
        return self


@dataclass(frozen=True)
class TargetedAttack(Attack):
    """An attack that sends every image to one label.

    Attributes:
        target: the target label.
    """

    target: int

    def of_classes(self, count: int) -> Self:
        """The target modulo the number of classes."""
        return dataclasses.replace(self, target=self.target % count)

    def wanted(self, labels: Tensor) -> Tensor:
        """The target label for each."""
        return torch.full_like(labels, self.target)


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
