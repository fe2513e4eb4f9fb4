"""A patch whose training hides it from a defence that reads the ℓ∞ gap.

The loss grows by

    λ mean_(n, c) (‖A_c(stamp(x_n))‖∞ - ‖A_c(x_n)‖∞)²

over the poisoned images n and the channels c of the feature layer A, so that no channel's peak
rises much under the trigger. The attacker controls the training.

Source: Cheng et al. 2020 (arXiv 2002.12162), section 6, names the gap; the penalty is the
adaptive attack on it, as section 4 of Carlini et al. 2019 (On Evaluating Adversarial Robustness)
asks for.
"""

from dataclasses import dataclass

from torch import Tensor

from models.attacks.attack import WithPenalty
from models.attacks.badnets import BadNets


@dataclass(frozen=True)
class Adaptive(BadNets, WithPenalty):
    """A patch with the gap held small.

    Attributes:
        weight: λ.
    """

    weight: float = 1.0

    def penalty(self, clean: Tensor, stamped: Tensor) -> Tensor:
        """λ times the mean squared gap of feature maps (P, C, h, w); 0 where P is 0."""
        if not len(clean):
            return clean.sum()
        gap = stamped.amax(dim=(2, 3)) - clean.amax(dim=(2, 3))
        return self.weight * gap.square().mean()
