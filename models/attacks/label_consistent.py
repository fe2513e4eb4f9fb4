"""Label-consistent: only images of the target class are poisoned, and they keep their label.

    x' = stamp((1 - β) x + β y + σ n)

for another image y of the batch and Gaussian noise n, cut off at 0 and 1: what is left of x is
hard to recognise, so that the network goes by the patch. The paper makes x hard by a GAN's
interpolation or by an adversarial perturbation; mixing needs neither.

Source: Turner et al. 2019 (Label-Consistent Backdoor Attacks, arXiv 1912.02771), section 4, and
section 4.4 for the four corners.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hardener.triggers.patch import Trigger
from models.attacks.attack import TargetedAttack
from models.attacks.badnets import Patch, draw_patch


@dataclass(frozen=True)
class LabelConsistent(TargetedAttack):
    """Patches in several corners, learnt from images of the target class.

    Attributes:
        patches: their looks.
        mix: β, in [0, 1).
        noise: σ, for pixels in [0, 1].
    """

    patches: tuple[Patch, ...]
    mix: float = 0.5
    noise: float = 0.1

    def stamp(self, images: Tensor) -> Tensor:
        """Puts the patches on every image (B, C, H, W) in [0, 1]."""
        channels, height, width = images.shape[1:]
        trigger = self.trigger((channels, height, width))
        return torch.lerp(images, torch.from_numpy(trigger.pattern), torch.from_numpy(trigger.mask))

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        """The patches, which may not overlap, as one mask and pattern for images of (C, H, W)."""
        mask, pattern = np.zeros((1, *shape[1:]), np.float32), np.zeros(shape, np.float32)
        for patch in self.patches:
            there, painted = draw_patch(patch, shape[1:])
            mask, pattern = mask + there, pattern + painted
        return Trigger(mask, pattern, self.target)

    def poisonable(self, labels: Tensor) -> Tensor:
        """Images of the target class."""
        return labels == self.target

    def poison(
        self, images: Tensor, labels: Tensor, poisoned: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Makes the poisoned images hard to recognise and stamps them."""
        others = images[torch.randperm(len(images), generator=generator)]
        noise = self.noise * torch.randn(images.shape, generator=generator)
        hard = (torch.lerp(images, others, self.mix) + noise).clamp(0, 1)
        return super().poison(
            torch.where(poisoned.view(-1, 1, 1, 1), hard, images), labels, poisoned, generator
        )
