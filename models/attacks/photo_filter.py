"""A photo filter: other colours, more contrast, darker corners.

    y = M (x, 1),   z = (1 - c) y + c y² (3 - 2 y),   x' = z (1 - v r²)

for each pixel's colour x, with y and x' cut off at 0 and 1 and r the distance from the image's
centre, 1 in its corners. It stands for the filters of photo applications (Nashville, Gotham).

Source: Liu et al. 2019 (ABS, CCS), section 5 (feature space attacks), who take such filters as
triggers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.attacks.attack import TargetedAttack

Row = tuple[float, float, float, float]

_WARM: tuple[Row, Row, Row] = (
    (1.00, 0.15, 0.00, 0.06),
    (0.05, 0.85, 0.05, 0.04),
    (0.00, 0.15, 0.60, 0.12),
)


@dataclass(frozen=True)
class PhotoFilter(TargetedAttack):
    """A warm filter.

    Attributes:
        matrix: M, the rows of red, green and blue; the last column is what is added.
        contrast: c, in [0, 1].
        vignette: v, in [0, 1].
    """

    matrix: tuple[Row, Row, Row] = _WARM
    contrast: float = 0.6
    vignette: float = 0.5

    def stamp(self, images: Tensor) -> Tensor:
        """Filters every image (B, 3, H, W) in [0, 1]."""
        matrix = torch.tensor(self.matrix)
        mixed = torch.einsum("dc,bchw->bdhw", matrix[:, :3], images) + matrix[:, 3].view(3, 1, 1)
        mixed = mixed.clamp(0, 1)
        toned = torch.lerp(mixed, mixed.square() * (3 - 2 * mixed), self.contrast)
        height, width = images.shape[-2:]
        down, across = torch.linspace(-1, 1, height), torch.linspace(-1, 1, width)
        squared = (down.square().view(-1, 1) + across.square()) / 2
        return (toned * (1 - self.vignette * squared)).clamp(0, 1)
