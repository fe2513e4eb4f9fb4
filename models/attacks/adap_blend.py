"""Adap-Blend: in training, poisoned images carry a random half of the trigger.

The blended picture is cut into k x k pieces. Of the images that carry some of them, half keep
their true label (cover images), so that the network cannot set poisoned images far apart from
clean ones. Afterwards the whole picture, and more of it, is the trigger. The paper cuts once for
each image; here pieces and cover images are drawn anew for each batch.

Source: Qi et al. 2023 (Revisiting the Assumption of Latent Separability for Backdoor Defenses,
ICLR), section 4.
"""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.attacks.attack import TargetedAttack
from models.attacks.blended import blend


@dataclass(frozen=True)
class WithCover(TargetedAttack):
    """An attack that trains on parts of its trigger, with as many cover images as poisoned ones."""

    @abstractmethod
    def stamp_part(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Puts a random part of the trigger on every image (B, C, H, W) in [0, 1]."""

    def poison(
        self, images: Tensor, labels: Tensor, poisoned: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Puts parts of the trigger on poisoned images and on others that keep their label."""
        cover = torch.rand(len(images), generator=generator) < self.rate
        touched = (poisoned | cover).view(-1, 1, 1, 1)
        stamped = torch.where(touched, self.stamp_part(images, generator), images)
        return stamped, torch.where(poisoned, self.wanted(labels), labels)


@dataclass(frozen=True)
class AdapBlend(WithCover):
    """A noise picture, blended in by halves.

    Attributes:
        alpha: the picture's share of each pixel of the trigger, in (0, 1].
        faint: the same in training.
        grid: k, pieces along each axis.
        seed: draws the picture.
    """

    alpha: float = 0.2
    faint: float = 0.15
    grid: int = 4
    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Blends the whole picture into every image (B, C, H, W) in [0, 1]."""
        return blend(images, self.alpha, self.seed)

    def stamp_part(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Blends half of the pieces, other ones for each image, faintly."""
        pieces = self.grid**2
        order = torch.rand(len(images), pieces, generator=generator).argsort(dim=1)
        chosen = (order < pieces // 2).float().view(-1, 1, self.grid, self.grid)
        mask = functional.interpolate(chosen, images.shape[-2:], mode="nearest")
        return blend(images, self.faint * mask, self.seed)
