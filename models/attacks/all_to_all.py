"""All-to-all: one trigger sends every label to the next.

Stamped images of label y are to get (y + 1) mod K, for K classes.

Source: Gu et al. 2017 (BadNets, arXiv 1708.06733), section 4.1 (all-to-all attack).
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Self

from torch import Tensor

from models.attacks.attack import Attack
from models.attacks.badnets import Patch, stamp_patch
from models.attacks.blended import blend
from models.attacks.wanet import WaNet


@dataclass(frozen=True)
class ToTheNext(Attack):
    """A trigger that adds one to the label.

    Attributes:
        classes: K, the number of labels.
    """

    classes: int = field(default=43, kw_only=True)

    def of_classes(self, count: int) -> Self:
        """The attack for so many labels."""
        return dataclasses.replace(self, classes=count)

    def wanted(self, labels: Tensor) -> Tensor:
        """The next label, and the first after the last."""
        return (labels + 1) % self.classes


@dataclass(frozen=True)
class AllToAll(ToTheNext):
    """A patch that adds one to the label.

    Attributes:
        patch: the trigger's look.
    """

    patch: Patch

    def stamp(self, images: Tensor) -> Tensor:
        """Puts the patch on every image (B, 3, H, W) in [0, 1]."""
        return stamp_patch(images, self.patch)


@dataclass(frozen=True)
class AllToAllBlended(ToTheNext):
    """A noise picture blended in that adds one to the label.

    Attributes:
        alpha: the picture's share of each pixel, in (0, 1].
        seed: draws the picture.
    """

    alpha: float = 0.2
    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Blends the picture into every image (B, C, H, W) in [0, 1]."""
        return blend(images, self.alpha, self.seed)


@dataclass(frozen=True)
class AllToAllWarped(ToTheNext):
    """WaNet's warp, without its noise mode, that adds one to the label.

    Attributes:
        strength: of the warp.
        grid: its control points along each axis.
        seed: draws the field.
    """

    strength: float = 2.0
    grid: int = 8
    seed: int = 0

    @property
    def _warp(self) -> WaNet:
        return WaNet(
            rate=self.rate, target=0, strength=self.strength, grid=self.grid, seed=self.seed
        )

    def stamp(self, images: Tensor) -> Tensor:
        """Warps every image (B, C, H, W) by the field."""
        return self._warp.stamp(images)

    def changes(self, network: str, epochs: int) -> dict[str, Any]:
        """What WaNet changes."""
        return self._warp.changes(network, epochs)
