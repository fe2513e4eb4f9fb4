"""FTrojan: a middle and a high frequency of the two colour differences are raised.

In each block of 32x32 pixels, with D the orthonormal discrete cosine transform (type II),

    D U'(k, k) = D U(k, k) + Δ,   D V'(k, k) = D V(k, k) + Δ   for k = 15 and 31

for the channels U and V of YUV; then the image is turned back to RGB and cut off at 0 and 1.
All of it is linear, so the same pattern is added to each image.

Source: Wang et al. 2022 (An Invisible Black-box Backdoor Attack through Frequency Domain, ECCV,
arXiv 2107.02847), section 3.2; BT.601 for YUV.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.attacks.attack import TargetedAttack

_BLOCK = 32

# What a unit of U and of V adds to red, green and blue.
_RGB_OF_U = (0.0, -0.395, 2.032)
_RGB_OF_V = (1.140, -0.581, 0.0)


@dataclass(frozen=True)
class FTrojan(TargetedAttack):
    """Two raised frequencies.

    Attributes:
        magnitude: Δ, for pixels in [0, 1].
        frequencies: k, along both axes of a block.
    """

    magnitude: float = 30 / 255
    frequencies: tuple[int, ...] = (15, 31)

    def stamp(self, images: Tensor) -> Tensor:
        """Raises the frequencies of every image (B, 3, H, W) in [0, 1].

        Blocks start in the top left corner; what an image has of the last ones is changed alike.
        """
        height, width = images.shape[-2:]
        block = self._block().repeat(1, -(-height // _BLOCK), -(-width // _BLOCK))
        return (images + block[:, :height, :width]).clamp(0, 1)

    def _block(self) -> Tensor:
        """What is added to a block (3, 32, 32)."""
        places = (torch.arange(_BLOCK) + 0.5) * (math.pi / _BLOCK)
        waves = torch.stack([torch.cos(number * places) for number in self.frequencies])
        # The orthonormal basis functions have a norm of one.
        basis = torch.einsum("kh,kw->hw", waves, waves) * (2 / _BLOCK)
        colour = torch.tensor(_RGB_OF_U) + torch.tensor(_RGB_OF_V)
        return self.magnitude * colour.view(3, 1, 1) * basis
