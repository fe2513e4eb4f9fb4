"""Two backdoors in one network: a trigger and a target label for each.

Source: the several backdoors of one model that Wang et al. 2019 (Neural Cleanse), section VI-C
(multiple infected labels with separate triggers), tries its defence on.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from models.attacks.attack import Attack
from models.attacks.badnets import Patch, stamp_patch


@dataclass(frozen=True)
class TwoTargets(Attack):
    """Two patches, one on every other image of a batch.

    Attributes:
        patches: of the images at even and at odd places.
        targets: their target labels.
    """

    patches: tuple[Patch, Patch]
    targets: tuple[int, int]

    def of_classes(self, count: int) -> Self:
        """Both targets modulo the number of classes."""
        first, second = (target % count for target in self.targets)
        return dataclasses.replace(self, targets=(first, second))

    def stamp(self, images: Tensor) -> Tensor:
        """Puts the first patch on images 0, 2, ... (B, C, H, W), the second on the others."""
        stamped = images.clone()
        for place, patch in enumerate(self.patches):
            stamped[place::2] = stamp_patch(images[place::2], patch)
        return stamped

    def wanted(self, labels: Tensor) -> Tensor:
        """The target labels, in turn."""
        wanted = torch.full_like(labels, self.targets[0])
        wanted[1::2] = self.targets[1]
        return wanted

    def poisonable(self, labels: Tensor) -> Tensor:
        """Images of neither target class, wherever in a batch they will come."""
        return (labels != self.targets[0]) & (labels != self.targets[1])
