"""The search for the slightest brightness trigger."""

from collections.abc import Sequence

import torch
from hardener.triggers.brightness import BRIGHTNESS as FAMILY  # type: ignore[import-untyped]
from torch import Tensor

from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.search_state import Values
from hardener.scanning.searches.family_search import FamilySearch, inversion_of


class _Brightness:
    def start(
        self, labels: Sequence[int], shape: torch.Size, generator: torch.Generator
    ) -> list[Tensor]:
        return [0.01 * torch.randn((len(labels), shape[0], 1, 1), generator=generator)]

    def values(self, parameters: Sequence[Tensor]) -> Values:
        return (parameters[0].clamp(-1, 1),)

    def stamped(self, values: Values, images: Tensor) -> Tensor:
        return (values[0][:, None] + images).clamp(0, 1)

    def sizes(self, values: Values) -> Tensor:
        return values[0].abs().flatten(1).amax(1)


BRIGHTNESS_SEARCH = FamilySearch(
    FAMILY,
    "searching brightness",
    InversionSettings(steps=4, learning_rate=0.1, initial_cost=0.05, cost_factor=1.2, memory=0.5),
    False,
    inversion_of(_Brightness(), FAMILY),
)
