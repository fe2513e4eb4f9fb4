"""Which of many labels are searched in full, on a network that has one easier than all others."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from support.many_labels import IMAGES, LABELS, PLAIN, TARGET, Planted
from torch import nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.progress import Progress, counting, silent
from hardener.scanning.label_search import (
    Chosen,
    Found,
    Searches,
    choose,
    density_for,
    find_triggers,
    stage_costs,
)
from hardener.scanning.optimiser import PROMISING
from hardener.scanning.planning import MOST_LABELS_IN_FULL, LabelPlan, Round, plan_for
from hardener.scanning.screening import LEAST_SHARE, Squares, places, try_squares
from hardener.scanning.searches.table import SEARCHES as TABLE
from hardener.triggers.patch import Trigger

CPU = torch.device("cpu")
SEARCHES = Searches({kind: replace(search.settings, steps=3) for kind, search in TABLE.items()}, 0)
PLAN = LabelPlan(12, 8, (Round(LABELS, 1, 1),), 2, 32)
ORDER = np.roll(np.arange(LABELS), -30)
NOTHING_REACHED = np.zeros(LABELS, np.float32)

NOWHERE = Trigger(np.zeros((1, 8, 8), np.float32), np.zeros((3, 8, 8), np.float32), 0)


def _chosen(best: FloatArray = NOTHING_REACHED, seed: int = 0) -> Chosen:
    """Labels 100 and on, of which 130 is the most promising."""
    return choose(range(100, 100 + LABELS), Squares({}, best, (NOWHERE,)), ORDER, PLAN, (seed,))


def _drawn(chosen: Chosen) -> set[int]:
    assert chosen.reference is not None
    return {chosen.labels[position] for position in chosen.reference}


def test_the_most_promising_join_those_drawn_at_random() -> None:
    chosen = _chosen()
    assert len(chosen.labels) == 12
    assert list(chosen.labels) == sorted(chosen.labels)
    drawn = _drawn(chosen)
    assert len(drawn) == 8
    promising = [label for label in range(130, 150) if label not in drawn][:4]
    assert sorted(chosen.labels) == sorted({*drawn, *promising})
    assert [chosen.ranks[label] for label in (130, 131, 129)] == [1, 2, LABELS]
    assert sorted(chosen.ranks.values()) == list(range(1, LABELS + 1))
    assert len(chosen.screened_only) == LABELS - 12
    assert f"all {LABELS} labels were screened and 12 of them" in chosen.reasons[0]


def test_screening_has_no_say_in_what_is_drawn() -> None:
    best = NOTHING_REACHED.copy()
    best[50:60] = 1
    assert _drawn(_chosen()) == _drawn(_chosen(best))
    assert _drawn(_chosen()) != _drawn(_chosen(seed=1))


def test_labels_that_squares_reach_take_turns_with_the_others() -> None:
    best = NOTHING_REACHED.copy()
    best[[3, 4, 5]] = 1, LEAST_SHARE, LEAST_SHARE - 0.01
    ranks = _chosen(best).ranks
    first = sorted(ranks, key=lambda label: ranks[label])[:5]
    assert first == [130, 103, 131, 104, 132]


def _found(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    progress: Progress = silent,
) -> Found:
    looked = network, images, preprocessing, labels
    density = density_for(plan_for(len(labels), images[0].size), preprocessing)
    on_place = counting(progress, "trying squares", places(8, 8, density.steps_per_side))
    squares = try_squares(*looked, on_place, CPU, density)
    return find_triggers(*looked, SEARCHES, squares, CPU, progress)


def test_few_labels_are_all_searched() -> None:
    labels = range(MOST_LABELS_IN_FULL)
    found = _found(Planted(64), IMAGES, PLAIN, labels, silent)
    chosen = found.chosen
    assert chosen.labels == tuple(labels)
    assert not chosen.screened_only
    assert [trigger.label for trigger in found.inverted["warp"].triggers] == list(labels)
    drawn = _drawn(chosen)
    assert len(drawn) == 8
    for kind in (found.inverted["additive"], found.inverted["warp"]):
        assert len(kind.stopped) == MOST_LABELS_IN_FULL - 8 - PROMISING
        assert not kind.stopped & drawn
    assert not found.inverted["patch"].stopped
    assert "for 8 labels drawn at random, whose sizes give the medians" in found.reasons[0]
    assert (
        f"for {len(found.inverted['warp'].unsolved)} labels no warp had worked" in found.reasons[-1]
    )


def test_what_is_drawn_depends_on_the_images() -> None:
    other = IMAGES[::-1].copy()
    drawn = [
        _drawn(_found(Planted(), images, PLAIN, range(20), silent).chosen)
        for images in (IMAGES, other, IMAGES)
    ]
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_few_labels_are_all_searched_to_the_end() -> None:
    found = _found(Planted(), IMAGES, PLAIN, range(14), silent)
    assert found.chosen == Chosen(tuple(range(14)), None, {})
    assert not found.chosen.reasons
    for kind in found.inverted.values():
        assert not kind.stopped


def test_of_many_labels_the_planted_one_is_searched() -> None:
    told: dict[str, tuple[int, int]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        told[stage] = done, total

    found = _found(Planted(), IMAGES, PLAIN, range(LABELS), progress)
    chosen = found.chosen
    assert chosen.ranks[TARGET] <= 2
    assert TARGET in chosen.labels
    assert len(chosen.labels) == 64
    for kind in found.inverted.values():
        assert tuple(trigger.label for trigger in kind.triggers) == chosen.labels
        assert not kind.stopped
    assert all(done == total for done, total in told.values())
    assert set(told) <= set(stage_costs(LABELS, PLAIN, SEARCHES, 50))


def test_costs_count_what_is_done() -> None:
    few, many = (stage_costs(count, PLAIN, SEARCHES, 50) for count in (40, 80))
    assert few["screening labels"] == 0 < many["screening labels"]
    assert few["inverting warps"] == 2.5 * (40 * 1 + 14 * 2) * 8
    assert many["inverting warps"] == 2.5 * 64 * 3 * 8
    assert few["trying triggers"] == 3 * 40 * 50
