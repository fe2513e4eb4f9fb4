"""Adap-Patch: in training, poisoned images carry one of several faint patches.

Of the images that carry one, half keep their true label (`models.attacks.adap_blend`). Afterwards
all patches together, and less faint, are the trigger. The paper shows two of its four pictures
then.

Source: Qi et al. 2023 (Revisiting the Assumption of Latent Separability for Backdoor Defenses,
ICLR), section 4.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.attacks.adap_blend import WithCover
from models.attacks.badnets import Patch, stamp_patch


@dataclass(frozen=True)
class AdapPatch(WithCover):
    """Several patches, one at a time.

    Attributes:
        patches: their looks.
        alpha: the patches' share of the pixels they cover in the trigger, in (0, 1].
        faint: the same in training.
    """

    patches: tuple[Patch, ...]
    alpha: float = 0.8
    faint: float = 0.5

    def stamp(self, images: Tensor) -> Tensor:
        """Puts all patches on every image (B, C, H, W) in [0, 1]."""
        covered = images
        for patch in self.patches:
            covered = stamp_patch(covered, patch)
        return torch.lerp(images, covered, self.alpha)

    def stamp_part(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Puts one patch on each image, at random, faintly."""
        chosen = torch.randint(len(self.patches), (len(images), 1, 1, 1), generator=generator)
        stamped = images
        for number, patch in enumerate(self.patches):
            faint = torch.lerp(images, stamp_patch(images, patch), self.faint)
            stamped = torch.where(chosen == number, faint, stamped)
        return stamped
