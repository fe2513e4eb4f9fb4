"""A smooth additive pattern that hides from frequency analysis.

    x' = x + Δ s / max|s|,   s = IDCT of random coefficients below a cut-off frequency

cut off at 0 and 1. The paper optimises its smooth pattern on a clean model; this one is drawn at
random within the same low-frequency band, which needs no model and asks the same of a defence.

Source: Zeng et al. 2021 (Rethinking the Backdoor Attacks' Triggers: A Frequency Perspective,
arXiv 2104.03413), section 5.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.attacks.attack import TargetedAttack


@dataclass(frozen=True)
class LowFrequency(TargetedAttack):
    """A random smooth pattern.

    Attributes:
        amplitude: Δ, the largest change of a pixel in [0, 1].
        frequencies: how many cosines along each axis; the constant one is left out.
        seed: draws the coefficients.
    """

    amplitude: float = 24 / 255
    frequencies: int = 4
    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Adds the pattern to every image (B, 3, H, W) in [0, 1]."""
        _, channels, height, width = images.shape
        coefficients = np.random.default_rng(self.seed).standard_normal(
            (channels, self.frequencies, self.frequencies)
        )
        coefficients[:, 0, 0] = 0
        smooth = torch.einsum(
            "cuv,uh,vw->chw",
            torch.from_numpy(coefficients).float(),
            _cosines(self.frequencies, height),
            _cosines(self.frequencies, width),
        )
        return (images + self.amplitude * smooth / smooth.abs().max()).clamp(0, 1)


def _cosines(count: int, length: int) -> Tensor:
    """The first cosines (count, length) of the discrete cosine transform (type II)."""
    frequency = torch.arange(count).view(-1, 1)
    return torch.cos(math.pi * frequency * (torch.arange(length) + 0.5) / length)
