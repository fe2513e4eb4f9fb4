"""A patch that works on images of some classes alone.

Stamped images of the source classes are to get the target label, stamped images of all others
their own: a search for one trigger that moves every image finds nothing.

Source: Tang et al. 2021 (Demon in the Variant, USENIX Security), section 3.3, who add the stamped
images of other classes (cover images).
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from models.attacks.badnets import BadNets


@dataclass(frozen=True)
class SourceSpecific(BadNets):
    """A patch bound to its source classes.

    Attributes:
        sources: the classes whose images it sends to the target label.
    """

    sources: tuple[int, ...]

    def of_classes(self, count: int) -> Self:
        """Target and sources modulo the number of classes."""
        sources = tuple(source % count for source in self.sources)
        return dataclasses.replace(super().of_classes(count), sources=sources)

    def wanted(self, labels: Tensor) -> Tensor:
        """The target label for images of the source classes, their own for the others."""
        return torch.where(self._from_source(labels), self.target, labels)

    def poisonable(self, labels: Tensor) -> Tensor:
        """All images: those of other classes are the cover."""
        return torch.ones_like(labels, dtype=torch.bool)

    def _from_source(self, labels: Tensor) -> Tensor:
        return torch.isin(labels, torch.tensor(self.sources))
