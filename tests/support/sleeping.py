"""A network whose backdoor gives a search by gradients nothing to follow."""

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray


class SleepingBackdoor(nn.Module):
    """Label 2 answers where two pixels of the corner are full yellow, else with no slope at all.

    Labels 0 and 1 need the whole image darker or brighter, label 3 stripes all over it.
    """

    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean((1, 2, 3))
        yellow = images[:, 0] + images[:, 1] - images[:, 2]
        asleep = torch.relu(yellow[:, 13, 13:15].mean(1) - 1.8) * 1000
        stripes = (images[:, :, ::2].mean((1, 2, 3)) - images[:, :, 1::2].mean((1, 2, 3))) * 60
        return torch.stack([(0.5 - mean) * 60, (mean - 0.5) * 60, asleep - 5, stripes], 1)


def clean_images() -> FloatArray:
    """Noise (64, 3, 16, 16), every second image brighter: half of label 0, half of label 1."""
    images = np.random.default_rng(0).uniform(0.2, 0.6, (64, 3, 16, 16)).astype(np.float32)
    images[::2] += 0.2
    return images
