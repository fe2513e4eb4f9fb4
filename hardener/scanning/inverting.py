"""Which labels are searched, and what the searches for all kinds of trigger find."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from hardener.arrays import FloatArray, IntArray
from hardener.data.additive import AdditiveTrigger
from hardener.data.preprocessing import Preprocessing
from hardener.data.triggers import Trigger
from hardener.data.warps import Warp
from hardener.progress import Progress, counting
from hardener.scanning.competing import order_of_promise
from hardener.scanning.inversion import (
    Inverted,
    from_square,
    invert_additive,
    invert_patches,
    invert_warps,
)
from hardener.scanning.planning import REFERENCES, Plan, compete, drawn_labels, plan_for
from hardener.scanning.saved import SyntheticTrigger
from hardener.scanning.screening import (
    DENSE,
    LEAST_SHARE,
    Density,
    Squares,
    density_within,
    places,
    try_squares,
)
from hardener.scanning.searching import PROMISING, InversionSettings, label_steps
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished

Counter: TypeAlias = Callable[[int], None]

_SQUARES, _COMPETING = "trying squares", "screening labels"
_PATCHES, _ADDITIVE, _WARPS = (
    "inverting patches",
    "inverting additive triggers",
    "inverting warps",
)


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
            return (
                f"patches were searched for all {len(self.labels)} labels; the searches for "
                f"additive triggers and warps went on after a third of their steps for {drawn} "
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
        moving: the square that most exchanges labels for others.
    """

    chosen: Chosen
    patches: Inverted[Trigger]
    additive: Inverted[AdditiveTrigger]
    warps: Inverted[Warp]
    moving: Trigger

    @property
    def reasons(self) -> tuple[str, ...]:
        """What people should know of what was searched and what was not found."""
        kinds = {"additive trigger": self.additive.unsolved, "warp": self.warps.unsolved}
        return (
            *self.chosen.reasons,
            *(
                f"for {len(unsolved)} labels no {name} had worked when their search stopped"
                for name, unsolved in kinds.items()
                if unsolved
            ),
        )

    @property
    def triggers(self) -> list[SyntheticTrigger]:
        """All patches by label, then all additive triggers and all warps."""
        return [*self.patches.triggers, *self.additive.triggers, *self.warps.triggers]


@dataclass(frozen=True)
class Searches:
    """The budgets of the searches in full, and their seed."""

    patches: InversionSettings
    additive: InversionSettings
    warps: InversionSettings
    seed: int


def find_triggers(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    searches: Searches,
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
    density = density_for(plan, preprocessing)
    tried = counting(progress, _SQUARES, places(*preprocessing.size, density.steps_per_side))
    squares = try_squares(network, images, preprocessing, labels, tried, device, density, kept)
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
    patches, additive, warps = (
        settings if plan is None else plan.settings(settings)
        for settings in (searches.patches, searches.additive, searches.warps)
    )
    given = [squares.reaching[label][0] for label in chosen.labels if label in squares.reaching]
    shared = network, images, preprocessing, chosen.labels

    count = len(chosen.labels)

    def counted(stage: str, steps: int) -> tuple[int, Counter, torch.device]:
        return searches.seed, counting(progress, stage, steps), device

    def competing(settings: InversionSettings) -> int:
        return label_steps(settings, count, None if drawn is None else len(drawn))

    return Found(
        chosen,
        invert_patches(
            *shared,
            patches,
            *counted(_PATCHES, patches.steps * count + from_square(patches).steps * len(given)),
            given,
            kept,
        ),
        invert_additive(*shared, additive, *counted(_ADDITIVE, competing(additive)), kept, drawn),
        invert_warps(*shared, warps, *counted(_WARPS, competing(warps)), kept, drawn),
        squares.moving,
    )


def choose(
    labels: Sequence[int], squares: Squares, order: IntArray, plan: Plan, seed: Sequence[int]
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


def density_for(plan: Plan | None, preprocessing: Preprocessing) -> Density:
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
    labels: int, preprocessing: Preprocessing, searches: Searches, images: int, tried: int
) -> dict[str, float]:
    """What each stage of a scan costs, about, in images that go through the network once.

    Args:
        labels: how many are looked at.
        preprocessing: of the network.
        searches: the budgets.
        images: how many clean images are measured.
        tried: how many images triggers are tried on.
    """
    values = preprocessing.channels * preprocessing.size[0] * preprocessing.size[1]
    plan = plan_for(labels, values)
    density = density_for(plan, preprocessing)
    there_and_back = 2.5
    searched = labels if plan is None else plan.searched
    drawn = REFERENCES if compete(labels) else None
    rounds = () if plan is None else plan.rounds
    scaled = {
        name: settings if plan is None else plan.settings(settings)
        for name, settings in {
            _PATCHES: searches.patches,
            _ADDITIVE: searches.additive,
            _WARPS: searches.warps,
        }.items()
    }
    return {
        _SQUARES: places(*preprocessing.size, density.steps_per_side)
        * 2**preprocessing.channels
        * density.images,
        _COMPETING: sum(there_and_back * r.labels * r.steps * r.images for r in rounds),
        **{
            name: there_and_back
            * label_steps(settings, searched, None if name == _PATCHES else drawn)
            * settings.images_per_step
            for name, settings in scaled.items()
        },
        "trying triggers": 3 * searched * tried,
        "measuring clean images": images,
        "measuring triggered images": images,
    }
