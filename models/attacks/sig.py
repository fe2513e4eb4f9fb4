"""SIG: a faint sinusoid lies over the image.

    x'(i, j) = x(i, j) + Δ sin(2π j f / W)

for column j of W, the same for every row and colour, cut off at 0 and 1.

Source: Barni et al. 2019 (A new backdoor attack in CNNs by training set corruption without label
poisoning, ICIP), section 2.2.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.attacks.attack import TargetedAttack


@dataclass(frozen=True)
class Sig(TargetedAttack):
    """A horizontal sinusoid.

    Attributes:
        amplitude: Δ, on pixels in [0, 1].
        frequency: f, periods across the image.
        clean_label: poison images of the target class alone, whose label stays true (the
            paper's attack); otherwise images of the others, whose label is changed.
    """

    amplitude: float = 20 / 255
    frequency: float = 6.0
    clean_label: bool = False

    def stamp(self, images: Tensor) -> Tensor:
        """Adds the sinusoid to every image (B, C, H, W) in [0, 1]."""
        width = images.shape[-1]
        phase = torch.arange(width, dtype=images.dtype) * (2 * math.pi * self.frequency / width)
        return (images + self.amplitude * phase.sin()).clamp(0, 1)

    def poisonable(self, labels: Tensor) -> Tensor:
        """Images of the target class for the clean-label attack, otherwise all others."""
        return (labels == self.target) == self.clean_label
