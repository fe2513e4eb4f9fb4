"""The search for the faintest additive trigger."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.search_state import Values
from hardener.scanning.searches.family_search import FamilySearch, inversion_of
from hardener.triggers.additive import ADDITIVE as FAMILY

ADDITIVE = InversionSettings(
    steps=60, learning_rate=0.02, initial_cost=0.05, cost_factor=1.15, memory=0.5
)


@dataclass(frozen=True)
class _Additive:
    initial_deviation: float = 0.005
    """Of every value at the start."""

    def start(
        self, labels: Sequence[int], shape: torch.Size, generator: torch.Generator
    ) -> list[Tensor]:
        return [self.initial_deviation * torch.randn((len(labels), *shape), generator=generator)]

    def values(self, parameters: Sequence[Tensor]) -> Values:
        return (parameters[0].clamp(-1, 1),)

    def stamped(self, values: Values, images: Tensor) -> Tensor:
        return (values[0][:, None] + images).clamp(0, 1)

    def sizes(self, values: Values) -> Tensor:
        return values[0].flatten(1).norm(dim=1)


invert_additive = inversion_of(_Additive(), FAMILY)

ADDITIVE_SEARCH = FamilySearch(
    FAMILY,
    "inverting additive triggers",
    ADDITIVE,
    True,
    invert_additive,
    exchange=_Additive(),
)
