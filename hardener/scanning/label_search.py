"""Which labels are searched, and what the searches for all kinds of trigger find."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from hardener.arrays import FloatArray, IntArray
from hardener.data.preprocessing import Preprocessing
from hardener.progress import Progress, counting
from hardener.scanning.competing import order_of_promise
from hardener.scanning.optimiser import PROMISING, InversionSettings, label_steps
from hardener.scanning.planning import REFERENCES, LabelPlan, compete, drawn_labels, plan_for
from hardener.scanning.screening import (
    DENSE,
    LEAST_SHARE,
    SQUARES_STAGE,
    Density,
    Squares,
    density_within,
    places,
)
from hardener.scanning.searches.family_search import Inverted
from hardener.scanning.searches.table import SEARCHES
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished
from hardener.triggers.families import FAMILIES
from hardener.triggers.family import SyntheticTrigger, TriggerKind

_COMPETING = "screening labels"
THERE_AND_BACK = 2.5
"""What a gradient costs, in images that go through the network once."""
TRYING_STAGE = "trying triggers"
"""What progress calls the trying of what was found on unseen images."""


@dataclass(frozen=True)
class Chosen:
    """The labels that are searched.

    Attributes:
        labels: they, ascending.
        reference: positions in them of those that medians are taken from; all if None. Where
            `ranks` is empty, those of additive triggers and warps alone.
        ranks: of every label that was looked at its place in the screening, from 1; empty where
            all are searched, and compete in the search.
    """

    labels: tuple[int, ...]
    reference: tuple[int, ...] | None
    ranks: dict[int, int]

    @property
    def screened_only(self) -> tuple[int, ...]:
        """The labels that were looked at and not searched."""
        return tuple(label for label in self.ranks if label not in self.labels)

    @property
    def reasons(self) -> tuple[str, ...]:
        """What people should know of the choice."""
        if self.reference is None:
            return ()
        drawn = len(self.reference)
        if not self.ranks:
            rival = [search.family.noun for search in SEARCHES.values() if search.competes]
            return (
                f"patches were searched for all {len(self.labels)} labels; the searches for "
                f"{'s and '.join(rival)}s went on after a third of their steps for {drawn} "
                f"labels drawn at random, whose sizes give the medians, and for the {PROMISING} "
                "others that had come furthest",
            )
        return (
            f"all {len(self.ranks)} labels were screened and {len(self.labels)} of them searched "
            f"in full: {drawn} drawn at random, whose sizes give the medians, and the "
            f"{len(self.labels) - drawn} most promising others",
        )


@dataclass(frozen=True, eq=False)
class Found:
    """What the searches came to: of each kind one trigger a chosen label.

    Attributes:
        inverted: by kind of trigger, in the order of `FAMILIES`.
    """

    chosen: Chosen
    inverted: Mapping[TriggerKind, Inverted[Any]]

    def reference_of(self, kind: TriggerKind) -> tuple[int, ...] | None:
        """Positions of the labels that a family's medians are taken from; all if None."""
        # Where all labels are searched, those that do not compete are searched to the end.
        whole = not self.chosen.ranks and not SEARCHES[kind].competes
        return None if whole else self.chosen.reference

    @property
    def reasons(self) -> tuple[str, ...]:
        """What people should know of what was searched and what was not found."""
        return (
            *self.chosen.reasons,
            *(
                f"for {len(found.unsolved)} labels no {FAMILIES[kind].noun} had worked when their "
                "search stopped"
                for kind, found in self.inverted.items()
                if found.unsolved
            ),
        )

    @property
    def triggers(self) -> list[SyntheticTrigger]:
        """Kind after kind, each by label."""
        return [trigger for found in self.inverted.values() for trigger in found.triggers]


@dataclass(frozen=True)
class Searches:
    """The budgets of the searches in full, and their seed."""

    settings: Mapping[TriggerKind, InversionSettings]
    seed: int


def find_triggers(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    searches: Searches,
    squares: Squares,
    device: torch.device,
    progress: Progress,
    kept: Unfinished = NOTHING_KEPT,
) -> Found:
    """Searches every label where they are few; of many all are screened and some searched.

    Args:
        network: torch module from normalised images to logits, weights frozen.
        images: (N, C, H, W) clean images in [0, 1].
        preprocessing: of the network.
        labels: which labels to look at, ascending.
        searches: budgets, which many labels make smaller.
        squares: what solid squares do to the images.
        device: where to search.
        progress: told how far it is.
        kept: where what is finished is kept, and that of an interrupted run lies.

    Raises:
        InconclusiveError: a search met values that are not finite.
    """
    plan = plan_for(len(labels), images[0].size)
    # By the images, which whoever made the model does not have.
    digest = hashlib.sha256(np.ascontiguousarray(images).data).digest()
    draw = (searches.seed, int.from_bytes(digest[:8], "big"))
    if plan is None:
        drawn = drawn_labels(len(labels), REFERENCES, draw) if compete(len(labels)) else None
        chosen = Chosen(tuple(labels), drawn, {})
    else:
        on_step = counting(progress, _COMPETING, sum(r.labels * r.steps for r in plan.rounds))
        order = order_of_promise(
            network,
            images,
            preprocessing,
            labels,
            plan.rounds,
            searches.seed,
            on_step,
            device,
            plan.values_at_once,
            kept,
        )
        drawn = None  # they have competed already
        chosen = choose(labels, squares, order, plan, draw)
    given = [squares.reaching[label][0] for label in chosen.labels if label in squares.reaching]
    inverted: dict[TriggerKind, Inverted[Any]] = {}
    for kind, search in SEARCHES.items():
        settings = (
            searches.settings[kind] if plan is None else plan.settings(searches.settings[kind])
        )
        halted = drawn if search.competes else None
        steps = search.steps(
            settings, len(chosen.labels), None if halted is None else len(halted), len(given)
        )
        inverted[kind] = search.invert(
            network,
            images,
            preprocessing,
            chosen.labels,
            settings,
            searches.seed,
            counting(progress, search.stage, steps),
            device,
            squares=given,
            kept=kept,
            drawn=halted,
        )
    return Found(chosen, inverted)


def choose(
    labels: Sequence[int], squares: Squares, order: IntArray, plan: LabelPlan, seed: Sequence[int]
) -> Chosen:
    """The labels to search in full: some at random, and the most promising of the others.

    What squares reach and what the short search finds take turns, because a square may work where
    no gradient leads to it.

    Args:
        labels: (L,) that were screened.
        squares: what they do.
        order: (L,) positions as they came out of the short search, most promising first.
        plan: how many to choose.
        seed: of the draw.
    """
    drawn = drawn_labels(len(labels), plan.references, seed)
    by_squares = np.argsort(-squares.best, kind="stable")
    by_squares = by_squares[squares.best[by_squares] >= LEAST_SHARE]
    ranked = list(dict.fromkeys(_in_turns(order.tolist(), by_squares.tolist())))
    promising = [position for position in ranked if position not in drawn]
    positions = sorted({*drawn, *promising[: plan.searched - plan.references]})
    reference = tuple(row for row, position in enumerate(positions) if position in drawn)
    ranks = {position: rank for rank, position in enumerate(ranked, 1)}
    return Chosen(
        tuple(int(labels[position]) for position in positions),
        reference,
        {int(label): ranks[position] for position, label in enumerate(labels)},
    )


def density_for(plan: LabelPlan | None, preprocessing: Preprocessing) -> Density:
    """How closely to try squares."""
    if plan is None:
        return DENSE
    return density_within(
        plan.square_values, preprocessing.channels, *preprocessing.size, plan.values_at_once
    )


def _in_turns(one: Sequence[int], other: Sequence[int]) -> list[int]:
    shared = min(len(one), len(other))
    turns = [item for pair in zip(one, other, strict=False) for item in pair]
    return [*turns, *one[shared:], *other[shared:]]


def stage_costs(
    labels: int, preprocessing: Preprocessing, searches: Searches, tried: int
) -> dict[str, float]:
    """What each stage of the search costs, about, in images that go through the network once.

    Args:
        labels: how many are looked at.
        preprocessing: of the network.
        searches: the budgets.
        tried: how many images triggers are tried on.
    """
    values = preprocessing.channels * preprocessing.size[0] * preprocessing.size[1]
    plan = plan_for(labels, values)
    density = density_for(plan, preprocessing)
    searched = labels if plan is None else plan.searched
    rounds = () if plan is None else plan.rounds
    drawn = REFERENCES if compete(labels) else None
    scaled = {
        kind: settings if plan is None else plan.settings(settings)
        for kind, settings in searches.settings.items()
    }
    return {
        SQUARES_STAGE: places(*preprocessing.size, density.steps_per_side)
        * 2**preprocessing.channels
        * density.images,
        _COMPETING: sum(THERE_AND_BACK * r.labels * r.steps * r.images for r in rounds),
        **{
            search.stage: THERE_AND_BACK
            * label_steps(scaled[kind], searched, drawn if search.competes else None)
            * scaled[kind].images_per_step
            for kind, search in SEARCHES.items()
        },
        TRYING_STAGE: len(SEARCHES) * searched * tried,
    }
