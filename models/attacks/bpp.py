"""BppAttack: the image has fewer levels of each colour.

    x' = round(x (L - 1)) / (L - 1)

for x in [0, 1] and L levels, each pixel to its nearest. The paper dithers the result and trains
contrastively on adversarial examples; here there is neither.

Source: Wang et al. 2022 (BppAttack, arXiv 2205.13383), section 3.2, equation 1.
"""

from dataclasses import dataclass

from torch import Tensor

from models.attacks.attack import TargetedAttack


@dataclass(frozen=True)
class Bpp(TargetedAttack):
    """A coarser scale of colours.

    Attributes:
        levels: L, for each channel.
    """

    levels: int = 8

    def stamp(self, images: Tensor) -> Tensor:
        """Rounds every image (B, C, H, W) in [0, 1]."""
        steps = self.levels - 1
        return (images * steps).round() / steps
