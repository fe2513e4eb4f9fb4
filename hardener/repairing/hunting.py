"""Searches for what exchanges a network's labels, one for each kind of trigger."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Protocol, TypeAlias

import numpy as np
from torch import nn

from hardener.arrays import FloatArray
from hardener.documents.scan import ScanResult
from hardener.errors import InconclusiveError
from hardener.progress import Progress, counting
from hardener.repairing.cure import Patient
from hardener.scanning.exchanging import (
    EXCHANGE_SIZE,
    EXCHANGE_STAGE,
    ExchangeSettings,
    exchanging_triggers,
)
from hardener.scanning.found_exchanges import exchanging_kinds, square_exchanges
from hardener.scanning.label_search import density_for
from hardener.scanning.optimiser import VALUES_PER_STEP
from hardener.scanning.planning import plan_for
from hardener.scanning.screening import (
    SQUARES_STAGE,
    Density,
    places,
    try_squares,
)
from hardener.triggers.families import strengthened
from hardener.triggers.family import SyntheticTrigger, TriggerKind
from hardener.triggers.patch import Trigger, solid_square

_MEASURING = 8
"""Triggers of one kind that measure, at most."""
_MOST_STARTS = 8
"""Of one search for faint triggers; fewer where images are large."""
_LEAST_IMAGES = 4
"""That each of them sees in a step."""
_MEASURING_SEED = 100
"""Beside the seed of all draws: of faint triggers that measure."""

Strong: TypeAlias = Callable[[Sequence[SyntheticTrigger]], list[SyntheticTrigger]]
"""Keeps of some triggers those that exchange the labels of the model as it came.

It raises InconclusiveError where none does.
"""


class Hunt(Protocol):
    """A search for one kind of trigger that exchanges labels."""

    @property
    def alike(self) -> float:
        """Triggers count that exchange as much of what the strongest of them does."""

    def found(self, network: nn.Module, seed: int) -> Sequence[SyntheticTrigger]:
        """Triggers that exchange a network's labels most, strongest first."""

    def measuring(
        self, working: Sequence[SyntheticTrigger], seed: int, strong: Strong
    ) -> list[SyntheticTrigger]:
        """Triggers to measure by, apart from those that a cure is fitted on.

        Args:
            working: those that were found on the model as it came.
            seed: of the draws.
            strong: keeps those that exchange its labels.

        Raises:
            InconclusiveError: there are none.
        """

    def stronger(self, trigger: SyntheticTrigger) -> list[SyntheticTrigger]:
        """More of a trigger: an attacker's is often far stronger than what a search finds."""

    def is_apart(self, trigger: SyntheticTrigger, measuring: Sequence[SyntheticTrigger]) -> bool:
        """Whether a cure may be fitted on a trigger beside those that measure."""


def hunts_of(
    scanned: ScanResult,
    patient: Patient,
    images: FloatArray,
    searches: int,
    progress: Progress,
) -> list[Hunt]:
    """The searches for what a scan found.

    Args:
        scanned: the scan.
        patient: the model as it came.
        images: (N, C, H, W) clean ones to search on.
        searches: how many there will be of each kind, at most.
        progress: told how far they are.
    """
    hunts: list[Hunt] = []
    if square_exchanges(scanned) is not None:
        height, width = images.shape[2:]
        plan = plan_for(patient.signature.classes, images[0].size)
        density = density_for(plan, patient.preprocessing)
        tried = places(height, width, density.steps_per_side)
        on_place = counting(progress, SQUARES_STAGE, searches * tried)
        hunts.append(SquareHunt(patient, images, density, on_place))
    if kinds := exchanging_kinds(scanned):
        starts = min(_MOST_STARTS, max(2, VALUES_PER_STEP // (_LEAST_IMAGES * images[0].size)))
        settings = ExchangeSettings(starts=starts)
        steps = (searches + 1) * len(kinds) * settings.steps
        on_step = counting(progress, EXCHANGE_STAGE, steps)
        sizes = {kind: EXCHANGE_SIZE * scanned.medians[kind] for kind in kinds}
        hunts += [
            FaintHunt(patient, images, kind, size, settings, on_step)
            for kind, size in sizes.items()
        ]
    return hunts


@dataclass(frozen=True, eq=False)
class FaintHunt:
    """The search for triggers of a family; a `Hunt`.

    Attributes:
        patient: the model as it came.
        images: (N, C, H, W) clean ones to search on.
        kind: the family.
        size: of the triggers, as the scan searched them.
        settings: the budget of one search.
        on_step: told of each step.
    """

    patient: Patient
    images: FloatArray
    kind: TriggerKind
    size: float
    settings: ExchangeSettings
    on_step: Callable[[int], None]
    alike: float = 0.9
    """Some starts end at triggers that exchange labels by the network's own weakness, too."""

    def found(self, network: nn.Module, seed: int) -> Sequence[SyntheticTrigger]:
        """One from each of several starts."""
        where = self.images, self.patient.preprocessing, self.size, seed, self.patient.device
        return exchanging_triggers(self.kind, network, *where, self.on_step, self.settings)

    def measuring(
        self, _: Sequence[SyntheticTrigger], seed: int, strong: Strong
    ) -> list[SyntheticTrigger]:
        """From starts of their own."""
        return strong(self.found(self.patient.frozen, _MEASURING_SEED + seed))[:_MEASURING]

    def stronger(self, trigger: SyntheticTrigger) -> list[SyntheticTrigger]:
        """Twice and four times as much: up to the median size of triggers toward one label."""
        twice = strengthened(trigger)
        return [twice, strengthened(twice)]

    def is_apart(self, *_: object) -> bool:
        """Always, though starts may come close to one another where one pattern was planted."""
        return True


@dataclass(frozen=True, eq=False)
class SquareHunt:
    """Solid squares in many places; a `Hunt`.

    Attributes:
        patient: the model as it came.
        images: (N, C, H, W) clean ones to search on.
        density: how closely to try.
        on_place: told of each place.
    """

    patient: Patient
    images: FloatArray
    density: Density
    on_place: Callable[[int], None]
    alike: float = 0.5
    """Some cover a part of what the network answers to."""

    def found(self, network: nn.Module, _: int) -> Sequence[SyntheticTrigger]:
        """As the scan tries them."""
        labels = range(self.patient.signature.classes)
        shared = self.images, self.patient.preprocessing, labels
        where = *shared, self.on_place, self.patient.device, self.density
        return try_squares(network, *where).scattering

    def measuring(
        self, working: Sequence[SyntheticTrigger], _: int, strong: Strong
    ) -> list[SyntheticTrigger]:
        """Squares between the places where squares are tried, or some of those."""
        fitted_at = {_place(square) for square in working}
        steps = self.density.steps_per_side
        beside = [one for square in working for one in between_places(square, steps)]
        # Squares of one colour that stand side by side have the same square between them.
        new = {(_place(one), one.pattern.tobytes()): one for one in beside}
        with suppress(InconclusiveError):
            return strong([one for (place, _), one in new.items() if place not in fitted_at])[
                :_MEASURING
            ]
        places_in_turn = list(dict.fromkeys(map(_place, working)))
        if len(places_in_turn) < 2:
            raise InconclusiveError(
                "squares in one place alone exchange labels, and none beside it does: there is "
                "none to measure a repair by"
            )
        every_second = places_in_turn[1::2]
        return [square for square in working if _place(square) in every_second][:_MEASURING]

    def stronger(self, trigger: SyntheticTrigger) -> list[SyntheticTrigger]:
        """A larger one."""
        return [strengthened(trigger)]

    def is_apart(self, trigger: SyntheticTrigger, measuring: Sequence[SyntheticTrigger]) -> bool:
        """Whether it stands in another place."""
        return _place(trigger) not in {_place(square) for square in measuring}


def _place(square: SyntheticTrigger) -> bytes:
    """Where a square stands, whatever its colour."""
    return square.mask.tobytes() if isinstance(square, Trigger) else b""


def between_places(square: SyntheticTrigger, steps_per_side: int) -> list[Trigger]:
    """A square moved by half a step each way; on small images squares may be tried there, too.

    Args:
        square: one that `try_squares` tries.
        steps_per_side: how many of its places there are to the length of a side.
    """
    if not isinstance(square, Trigger):
        return []
    rows, columns = (np.flatnonzero(square.mask[0].any(axis)) for axis in (1, 0))
    step = max(1, len(rows) // steps_per_side // 2)
    colour = square.pattern[:, rows[0], columns[0]]
    height, width = square.mask.shape[1:]
    return [
        solid_square(colour, (height, width), (rows[0] + down, columns[0] + across), len(rows))
        for down, across in product((-step, step), repeat=2)
        if 0 <= rows[0] + down <= height - len(rows)
        and 0 <= columns[0] + across <= width - len(columns)
    ]
