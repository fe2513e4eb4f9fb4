"""A trigger that is known as mask and pattern: `x' = (1 - mask) x + mask pattern`."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from hardener.triggers.patch import Trigger
from models.attacks.attack import TargetedAttack


@dataclass(frozen=True)
class Overlay(TargetedAttack):
    """A given mask and pattern.

    Attributes:
        given: mask, pattern and target label.
    """

    given: Trigger = field(kw_only=True)

    def stamp(self, images: Tensor) -> Tensor:
        """Puts the trigger on every image (B, C, H, W) in [0, 1]."""
        return torch.lerp(
            images, torch.from_numpy(self.given.pattern), torch.from_numpy(self.given.mask)
        )

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        """The trigger as it was given."""
        return self.given
