"""The search for the faintest additive trigger."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.scanning.searches.family_search import FamilySearch, Inverted, of_one_array
from hardener.scanning.searching import CPU, InversionSettings, Values, search
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished
from hardener.triggers.additive import ADDITIVE as FAMILY
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.patch import Trigger

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


def invert_additive(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None] = lambda _: None,
    device: torch.device = CPU,
    squares: Sequence[Trigger] = (),
    kept: Unfinished = NOTHING_KEPT,
    drawn: Sequence[int] | None = None,
) -> Inverted[AdditiveTrigger]:
    """Searches the faintest additive trigger for each label; arguments as for `search`."""
    del squares  # patches, which this is not
    found = search(
        _Additive(),
        network,
        images,
        preprocessing,
        labels,
        settings,
        seed,
        on_step,
        device,
        kept.of("additive", settings=settings),
        drawn,
    )
    return of_one_array(AdditiveTrigger, found, labels)


ADDITIVE_SEARCH = FamilySearch(
    FAMILY, "inverting additive triggers", ADDITIVE, True, invert_additive
)
