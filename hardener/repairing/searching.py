"""Searching a few labels of a model again, for every kind of trigger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.scanning.inversion import (
    ADDITIVE,
    PATCHES,
    WARPS,
    from_square,
    invert_additive,
    invert_patches,
    invert_warps,
)
from hardener.scanning.saved import SyntheticTrigger
from hardener.scanning.screening import places, try_squares
from hardener.scanning.searching import InversionSettings


@dataclass(frozen=True, eq=False)
class Search:
    """What every search of one repair shares.

    Attributes:
        images: (N, C, H, W) clean images in [0, 1] to search on.
        preprocessing: of the network.
        labels: whose triggers to search.
        device: where to search.
        patches: budget of the search for patches.
        additive: and for additive triggers.
        warps: and for warps.
    """

    images: FloatArray
    preprocessing: Preprocessing
    labels: Sequence[int]
    device: torch.device
    patches: InversionSettings = PATCHES
    additive: InversionSettings = ADDITIVE
    warps: InversionSettings = WARPS

    def triggers(
        self, network: nn.Module, seed: int, on_step: Callable[[int], None]
    ) -> list[SyntheticTrigger]:
        """A patch, an additive trigger and a warp for each label, then squares that reach one.

        Args:
            network: torch module from normalised images to logits; its weights stay.
            seed: of the search.
            on_step: told how many of `steps` just finished.
        """
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        for parameter in trained:
            parameter.requires_grad_(False)
        shared = network, self.images, self.preprocessing, self.labels
        squares = try_squares(*shared, on_step, self.device).reaching
        best = [first for first, *_ in squares.values()]
        found: list[SyntheticTrigger] = [
            *invert_patches(*shared, self.patches, seed, on_step, self.device, best).triggers,
            *invert_additive(*shared, self.additive, seed, on_step, self.device).triggers,
            *invert_warps(*shared, self.warps, seed, on_step, self.device).triggers,
            *chain.from_iterable(squares.values()),
        ]
        for parameter in trained:
            parameter.requires_grad_(True)
        return found

    @property
    def steps(self) -> int:
        """Places and label-steps of one search, at most: patches may be searched twice."""
        one = self.patches.steps + from_square(self.patches).steps
        one += self.additive.steps + self.warps.steps
        return places(*self.preprocessing.size) + len(self.labels) * one
