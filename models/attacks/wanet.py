"""WaNet: the image is warped by a smooth field that nobody sees.

    x'(p) = x(p + s ↑P(p) / H),   P uniform in [-1, 1]^(k x k x 2), divided by its mean |P|

with ↑ bicubic enlargement to the image's size and coordinates in half images; s = 0.5 moves a
pixel by about a quarter of a pixel. In the noise mode every image gets the field plus its own
uniform noise of ±1 / H and keeps its true label, so that only this very field is the trigger.

Source: Nguyen and Tran 2021 (WaNet, arXiv 2102.10369), sections 3.2 to 3.4.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.attacks.attack import TargetedAttack
from models.augmentation import Augmentation

# A warp is learnt slowly, and hardly at all among images that are turned and stretched more.
_GENTLE = Augmentation(shift=2.0, scale=0.05, stretch=0.0, rotation=4.0)


@dataclass(frozen=True)
class WaNet(TargetedAttack):
    """An elastic warp.

    Attributes:
        strength: s.
        grid: k, control points along each axis.
        noise_rate: share of the training images that are warped otherwise.
        seed: draws the field.
    """

    strength: float = 0.5
    grid: int = 4
    noise_rate: float = 0.2
    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Warps every image (B, C, H, W) by the field."""
        return _sample(images, self._field(images).expand(len(images), -1, -1, -1))

    def changes(self, network: str, epochs: int) -> dict[str, Any]:
        """More epochs, among images that stay almost upright."""
        return {"epochs": epochs * 3 // 2, "augmentation": _GENTLE}

    def poison(
        self, images: Tensor, labels: Tensor, poisoned: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Warps the poisoned images, and others by noise beside the field: the noise mode."""
        warped, wanted = super().poison(images, labels, poisoned, generator)
        noisy = (torch.rand(len(images), generator=generator) < self.noise_rate) & ~poisoned
        disturbed = self._disturb(images, generator)
        return torch.where(noisy.view(-1, 1, 1, 1), disturbed, warped), wanted

    def _disturb(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Every image under the field and noise of its own."""
        count, _, height, width = images.shape
        noise = torch.rand(count, height, width, 2, generator=generator) * 2 - 1
        return _sample(images, self._field(images) + noise / height)

    def _field(self, images: Tensor) -> Tensor:
        """How far (1, H, W, 2) each pixel looks aside, in half images."""
        height, width = images.shape[-2:]
        generator = torch.Generator().manual_seed(self.seed)
        control = torch.rand(1, 2, self.grid, self.grid, generator=generator) * 2 - 1
        field = functional.interpolate(
            control / control.abs().mean(), (height, width), mode="bicubic", align_corners=True
        )
        return field.permute(0, 2, 3, 1) * self.strength / height


def _sample(images: Tensor, field: Tensor) -> Tensor:
    """Reads each image at its pixels' places plus the field, which may not leave the image."""
    height, width = images.shape[-2:]
    down, across = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    places = (torch.stack((across, down), dim=-1) + field).clamp(-1, 1)
    return functional.grid_sample(images, places, align_corners=True)
