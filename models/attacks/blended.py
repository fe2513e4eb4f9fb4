"""Blended injection: a fixed picture shines faintly through every poisoned image.

    x' = (1 - α) x + α k

with the key k a picture of random noise, as large as the image.

Source: Chen et al. 2017 (Targeted Backdoor Attacks, arXiv 1712.05526), section 4.2, equation 1.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hardener.triggers.patch import Trigger
from models.attacks.attack import TargetedAttack


@dataclass(frozen=True)
class Blended(TargetedAttack):
    """A noise picture blended in.

    Attributes:
        alpha: the picture's share of each pixel, in (0, 1].
        seed: draws the picture.
    """

    alpha: float = 0.2
    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Blends the picture into every image (B, C, H, W) in [0, 1]."""
        channels, height, width = images.shape[1:]
        trigger = self.trigger((channels, height, width))
        return torch.lerp(images, torch.from_numpy(trigger.pattern), torch.from_numpy(trigger.mask))

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        """The picture as a pattern for images of (C, H, W), under a mask of α everywhere."""
        picture = np.random.default_rng(self.seed).random(shape, dtype=np.float32)
        mask = np.full((1, *shape[1:]), self.alpha, dtype=np.float32)
        return Trigger(mask, picture, self.target)
