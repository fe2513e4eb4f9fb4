"""All-to-all: one patch sends every label to the next.

Stamped images of label y are to get (y + 1) mod K, for K classes.

Source: Gu et al. 2017 (BadNets, arXiv 1708.06733), section 4.1 (all-to-all attack).
"""

from dataclasses import dataclass

from torch import Tensor

from models.attacks.attack import Attack
from models.attacks.badnets import Patch, stamp_patch


@dataclass(frozen=True)
class AllToAll(Attack):
    """A patch that adds one to the label.

    Attributes:
        patch: the trigger's look.
        classes: K, the number of labels.
    """

    patch: Patch
    classes: int = 43

    def stamp(self, images: Tensor) -> Tensor:
        """Puts the patch on every image (B, 3, H, W) in [0, 1]."""
        return stamp_patch(images, self.patch)

    def wanted(self, labels: Tensor) -> Tensor:
        """The next label, and the first after the last."""
        return (labels + 1) % self.classes
