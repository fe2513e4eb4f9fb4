"""Blended injection: a fixed picture shines faintly through every poisoned image.

    x' = (1 - α) x + α k

with the key k a picture of random noise, as large as the image.

Source: Chen et al. 2017 (Targeted Backdoor Attacks, arXiv 1712.05526), section 4.2, equation 1.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hardener.arrays import FloatArray
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
        return blend(images, self.alpha, self.seed)

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        """The picture as a pattern for images of (C, H, W), under a mask of α everywhere."""
        mask = np.full((1, *shape[1:]), self.alpha, dtype=np.float32)
        return Trigger(mask, draw_picture(self.seed, shape), self.target)


def blend(images: Tensor, alpha: float | Tensor, seed: int) -> Tensor:
    """Blends a noise picture into every image.

    Args:
        images: (B, C, H, W) in [0, 1].
        alpha: the picture's share of each pixel, or of each pixel of each image (B, 1, H, W).
        seed: draws the picture.
    """
    channels, height, width = images.shape[1:]
    picture = torch.from_numpy(draw_picture(seed, (channels, height, width)))
    return torch.lerp(images, picture, torch.as_tensor(alpha, dtype=images.dtype))


def draw_picture(seed: int, shape: tuple[int, int, int]) -> FloatArray:
    """Random noise of (C, H, W) in [0, 1), the same for the same seed."""
    return np.random.default_rng(seed).random(shape, dtype=np.float32)
