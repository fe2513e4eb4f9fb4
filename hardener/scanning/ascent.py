"""Steps of normalised gradients with momentum, for many starts at once.

Source: Dong et al. 2018 (MI-FGSM, arXiv 1710.06081), equation 6, with ℓ2 norms.
"""

from typing import TypeAlias

import torch
from torch import Tensor

START = 0.3
"""Of the size: that of a random start."""
REACH = 3.75
"""Of the size: how far all steps lead together, were they in one direction."""

_MOMENTUM = 0.8

Length: TypeAlias = float | Tensor
"""One for all starts, or of each, of a shape that fits them."""


@torch.no_grad()
def climbed(
    found: Tensor, momentum: Tensor, slope: Tensor, step: Length, longest: Length
) -> tuple[Tensor, Tensor]:
    """One step upwards.

    Args:
        found: (S, ...) where S starts are.
        momentum: as many; zero before the first step.
        slope: as many: of what shall grow.
        step: how far to go.
        longest: none goes farther from zero.

    Returns:
        Where they are now, and the new momentum.
    """
    momentum = _MOMENTUM * momentum + directions(slope)
    found = found.detach() + step * directions(momentum)
    return found * (longest / _lengths(found)).clamp(max=1), momentum


def directions(values: Tensor) -> Tensor:
    """(S, ...) of length one each; what is zero stays so."""
    return values / _lengths(values)


def _lengths(values: Tensor) -> Tensor:
    lengths = values.flatten(1).norm(dim=1).clamp(min=1e-12)
    return lengths.view(-1, *[1] * (values.dim() - 1))
