"""What is searched, and how far the search is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from hardener.arrays import BoolArray, IntArray
from hardener.scanning.unfinished import Arrays

Values: TypeAlias = tuple[Tensor, ...]
"""What describes the triggers of L labels: tensors whose first axis is the label."""

_NOTHING = torch.finfo(torch.float32).max
"""Size of the smallest trigger that works where none does yet."""


class Parametrisation(Protocol):
    """One kind of trigger: how it is parametrised, applied and measured."""

    def start(
        self, labels: Sequence[int], shape: torch.Size, generator: torch.Generator
    ) -> list[Tensor]:
        """Free parameters of one trigger a label for images (C, H, W), on the processor."""

    def values(self, parameters: Sequence[Tensor]) -> Values:
        """The triggers that parameters stand for."""

    def stamped(self, values: Values, images: Tensor) -> Tensor:
        """Every trigger on every image (B, C, H, W): (L, B, C, H, W)."""

    def sizes(self, values: Values) -> Tensor:
        """(L,) what shall be small."""


@dataclass(frozen=True, eq=False)
class SearchState:
    """How far the search for L labels is. The first axis of every tensor is the label.

    Attributes:
        parameters: the free parameters.
        slopes: Adam's running means of their gradients.
        squares: and of the gradients' squares.
        cost: (L,) λ.
        success: (L,) running success rates.
        loss: (L,) running cross-entropies.
        best_size: (L,) size of the smallest trigger so far that works.
        best: that trigger, or where the search began.
    """

    parameters: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]
    squares: tuple[Tensor, ...]
    cost: Tensor
    success: Tensor
    loss: Tensor
    best_size: Tensor
    best: Values

    @classmethod
    def start(
        cls,
        kind: Parametrisation,
        labels: Sequence[int],
        shape: torch.Size,
        initial_cost: float,
        seed: int,
    ) -> "SearchState":
        """Where a search begins: triggers drawn by the seed, and λ at its first value."""
        # Random numbers come from the processor, so that every device starts alike.
        parameters = tuple(kind.start(labels, shape, torch.Generator().manual_seed(seed)))
        still = tuple(torch.zeros_like(part) for part in parameters)
        nothing = torch.zeros(len(labels))
        return cls(
            parameters,
            still,
            still,
            torch.full_like(nothing, initial_cost),
            nothing,
            nothing,
            torch.full_like(nothing, _NOTHING),
            kind.values(parameters),
        )

    def values(self, kind: Parametrisation) -> Values:
        """The triggers as they are now."""
        return kind.values(self.parameters)

    def found(self, kind: Parametrisation) -> Arrays:
        """The best triggers, and for labels where nothing worked those of now."""
        solved = self.best_size < _NOTHING
        return tuple(
            part.cpu().numpy() for part in where_each(solved, self.best, self.values(kind))
        )

    def tensors(self) -> list[Tensor]:
        """All of it, in a fixed order."""
        sums = self.cost, self.success, self.loss, self.best_size
        return [*self.parameters, *self.slopes, *self.squares, *sums, *self.best]

    def with_tensors(self, tensors: Sequence[Tensor]) -> "SearchState":
        """As many of each kind of tensor as here, from what `tensors` gives."""
        left, count = list(tensors), len(self.parameters)
        parameters, slopes, squares = (left[row * count : (row + 1) * count] for row in range(3))
        cost, success, loss, best_size, *best = left[3 * count :]
        return SearchState(
            tuple(parameters),
            tuple(slopes),
            tuple(squares),
            cost,
            success,
            loss,
            best_size,
            tuple(best),
        )

    @classmethod
    def joined(cls, states: "Sequence[SearchState]") -> "SearchState":
        """The labels of all states, in order."""
        parts = zip(*(state.tensors() for state in states), strict=True)
        return states[0].with_tensors([torch.cat(part) for part in parts])

    def taken(self, positions: IntArray) -> "SearchState":
        """The labels at positions."""
        return self.with_tensors([tensor[torch.from_numpy(positions)] for tensor in self.tensors()])

    @property
    def solved(self) -> BoolArray:
        """(L,) whether some trigger works."""
        found: BoolArray = (self.best_size < _NOTHING).cpu().numpy()
        return found

    def furthest(self, drawn: BoolArray, count: int) -> IntArray:
        """Ascending positions of the labels that are drawn and of `count` others.

        Those are the ones with the smallest triggers that work, or else with the smallest loss.

        Args:
            drawn: (L,) which labels are.
            count: how many others.
        """
        # The last key counts most.
        order = np.lexsort((self.loss.numpy(), self.best_size.numpy()))
        return np.sort(np.concatenate([np.flatnonzero(drawn), order[~drawn[order]][:count]]))


def where_each(chosen: Tensor, values: Values, others: Values) -> Values:
    """`values` of the labels that are chosen, (L,), and `others` of the rest."""
    return tuple(
        torch.where(chosen.view(-1, *[1] * (value.dim() - 1)), value, other)
        for value, other in zip(values, others, strict=True)
    )
