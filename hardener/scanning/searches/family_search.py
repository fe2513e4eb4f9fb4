"""How a family of triggers is searched: one record, which scans and repairs read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.scanning.optimiser import CPU, InversionSettings, label_steps, search
from hardener.scanning.search_state import Parametrisation
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished
from hardener.triggers.family import AnyTrigger, Family
from hardener.triggers.patch import Trigger


@dataclass(frozen=True, eq=False)
class Inverted(Generic[AnyTrigger]):
    """Triggers of one kind.

    Attributes:
        triggers: the smallest of each label, in order.
        stopped: labels whose search was stopped early, because others came further.
        unsolved: of those, labels that nothing worked for by then: their triggers say nothing.
    """

    triggers: list[AnyTrigger]
    stopped: frozenset[int] = frozenset()
    unsolved: frozenset[int] = frozenset()


class Invert(Protocol):
    """Searches a trigger for each label; arguments and errors as for `optimiser.search`."""

    def __call__(
        self,
        network: nn.Module,
        images: FloatArray,
        preprocessing: Preprocessing,
        labels: Sequence[int],
        settings: InversionSettings,
        seed: int,
        on_step: Callable[[int], None] = ...,
        device: torch.device = ...,
        squares: Sequence[Trigger] = (),
        kept: Unfinished = NOTHING_KEPT,
        drawn: Sequence[int] | None = None,
    ) -> Inverted[Any]:
        """Triggers of L labels; `squares` are solid ones that reach some of these labels."""


@dataclass(frozen=True)
class FamilySearch:
    """The search for one family of triggers.

    Attributes:
        family: of the triggers.
        stage: what progress calls it.
        settings: the budget of one label.
        competes: whether of 15 to 64 labels only some are searched to the end.
        invert: the search.
        from_square: the budget of a further search from a square that works; None without one.
        exchange: how a trigger is parametrised whose size grows with its one tensor of parameters,
            so that a search for exchanges of labels can hold it to a size; None looks for none.
    """

    family: Family[Any]
    stage: str
    settings: InversionSettings
    competes: bool
    invert: Invert
    from_square: Callable[[InversionSettings], InversionSettings] | None = None
    exchange: Parametrisation | None = None

    def steps(
        self, settings: InversionSettings, labels: int, drawn: int | None = None, squares: int = 0
    ) -> int:
        """Steps of one label that a search takes in all.

        Args:
            settings: the budget of one label.
            labels: how many are searched.
            drawn: how many of them go on to the end while the others compete; None: all do.
            squares: how many labels have a square to search from once more.
        """
        again = 0 if self.from_square is None else self.from_square(settings).steps * squares
        return label_steps(settings, labels, drawn) + again


def inversion_of(kind: Parametrisation, family: Family[Any]) -> Invert:
    """The search for triggers that one array describes; it has no use for squares."""

    def invert(
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
    ) -> Inverted[Any]:
        del squares
        found = search(
            kind,
            network,
            images,
            preprocessing,
            labels,
            settings,
            seed,
            on_step,
            device,
            kept.of(family.name, settings=settings),
            drawn,
        )

        def named(positions: Iterable[int]) -> frozenset[int]:
            return frozenset(int(labels[position]) for position in positions)

        pairs = zip(found.values, labels, strict=True)
        return Inverted(
            [family.trigger(values, int(label)) for (values,), label in pairs],
            named(found.stopped),
            named(found.unsolved),
        )

    return invert
