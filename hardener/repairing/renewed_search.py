"""Searching a few labels of a model again, for every kind of trigger."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.scanning.awakening import with_woken
from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.screening import places, try_squares
from hardener.scanning.searches.table import SEARCHES
from hardener.triggers.family import SyntheticTrigger, TriggerKind


@dataclass(frozen=True, eq=False)
class Search:
    """What every search of one repair shares.

    Attributes:
        images: (N, C, H, W) clean images in [0, 1] to search on.
        preprocessing: of the network.
        labels: whose triggers to search.
        device: where to search.
        settings: budgets of some kinds of trigger, where they are not the usual ones.
    """

    images: FloatArray
    preprocessing: Preprocessing
    labels: Sequence[int]
    device: torch.device
    settings: Mapping[TriggerKind, InversionSettings] = field(default_factory=dict)

    def triggers(
        self, network: nn.Module, seed: int, on_step: Callable[[int], None]
    ) -> list[SyntheticTrigger]:
        """A trigger of every kind for each label, then squares that reach one.

        Args:
            network: torch module from normalised images to logits, weights frozen.
            seed: of the search.
            on_step: told how many of `steps` just finished.
        """
        shared = network, self.images, self.preprocessing, self.labels
        tried = try_squares(*shared, on_step, self.device)
        squares = with_woken(tried, *shared, seed, lambda _: None, self.device).reaching
        best = [first for first, *_ in squares.values()]
        return [
            *(
                trigger
                for kind, search in SEARCHES.items()
                for trigger in search.invert(
                    *shared, self._budget(kind), seed, on_step, self.device, best
                ).triggers
            ),
            *chain.from_iterable(squares.values()),
        ]

    @property
    def steps(self) -> int:
        """Places and label-steps of one search, at most: patches may be searched twice."""
        count = len(self.labels)
        return places(*self.preprocessing.size) + sum(
            search.steps(self._budget(kind), count, squares=count)
            for kind, search in SEARCHES.items()
        )

    def _budget(self, kind: TriggerKind) -> InversionSettings:
        return self.settings.get(kind, SEARCHES[kind].settings)
