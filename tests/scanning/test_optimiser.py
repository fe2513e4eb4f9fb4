"""Labels that compete in a search, on a network that has one easier than all others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.many_labels import IMAGES, PLAIN, TARGET, Planted
from torch import Tensor

from hardener.arrays import FloatArray
from hardener.scanning.optimiser import CPU, PROMISING, Searched, label_steps, search
from hardener.scanning.searches.additive import ADDITIVE
from hardener.scanning.searches.patches import _Patches
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished

LABELS, STEPS = 40, 60
DRAWN = (2, 3, 5, 7, 11, 13, 19, 23)
SETTINGS = replace(ADDITIVE, steps=STEPS, learning_rate=0.5, initial_cost=0.01)


def _searched(
    drawn: tuple[int, ...] | None,
    steps: list[int],
    kept: Unfinished = NOTHING_KEPT,
    network: Planted | None = None,
) -> Searched:
    network = Planted(LABELS) if network is None else network
    labels, on_step = range(LABELS), steps.append
    return search(
        _Patches(), network, IMAGES, PLAIN, labels, SETTINGS, 0, on_step, CPU, kept, drawn
    )


def _sizes(found: Searched) -> FloatArray:
    return np.array([mask.sum() for mask, _ in found.values], np.float32)


def test_after_the_halt_only_the_drawn_and_the_most_promising_go_on() -> None:
    steps: list[int] = []
    found = _searched(DRAWN, steps)
    assert len(found.values) == LABELS
    assert len(found.stopped) == LABELS - len(DRAWN) - PROMISING
    assert not found.stopped & {*DRAWN, TARGET}
    assert found.unsolved <= found.stopped
    assert sum(steps) == label_steps(SETTINGS, LABELS, len(DRAWN))
    assert sum(steps) < label_steps(SETTINGS, LABELS, None) == STEPS * LABELS


def test_those_that_go_on_had_the_smallest_triggers_at_the_halt() -> None:
    halted = _sizes(_searched_to_the_halt())
    found = _searched(DRAWN, [])
    others = [row for row in range(LABELS) if row not in DRAWN]
    smallest = sorted(others, key=lambda row: halted[row])[:PROMISING]
    assert set(range(LABELS)) - found.stopped == {*DRAWN, *smallest}


def _searched_to_the_halt() -> Searched:
    halted = replace(SETTINGS, steps=STEPS // 3)
    return search(
        _Patches(), Planted(LABELS), IMAGES, PLAIN, range(LABELS), halted, 0, lambda _: None, CPU
    )


def test_without_drawn_labels_or_with_few_labels_all_go_on() -> None:
    assert not _searched(None, []).stopped
    assert not _searched(tuple(range(LABELS - PROMISING)), []).stopped


def test_who_goes_on_finds_what_it_would_without_competition() -> None:
    competing, alone = _searched(DRAWN, []), _searched(None, [])
    for row in (*DRAWN, TARGET):
        for one, other in zip(competing.values[row], alone.values[row], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
    row = min(competing.stopped)
    assert np.abs(competing.values[row][0] - alone.values[row][0]).max() > 0.01


class Never(Planted):
    """A label that nothing works for."""

    def forward(self, images: Tensor) -> Tensor:
        never = torch.nn.functional.one_hot(torch.tensor(30), LABELS)
        return super().forward(images) - 1000 * never


def test_a_label_that_stops_before_anything_works_is_named() -> None:
    found = _searched(DRAWN, [], network=Never(LABELS))
    assert 30 in found.stopped
    assert 30 in found.unsolved
    assert not found.unsolved & {*DRAWN, TARGET}


@pytest.mark.parametrize("lost", ["all after the halt", "one before it", "none"])
def test_what_was_finished_is_not_searched_again(tmp_path: Path, lost: str) -> None:
    network = Planted(LABELS)
    whole = _searched(DRAWN, [], Unfinished(tmp_path, "key"), network)
    calls = network.called
    pieces = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    groups = -(-LABELS // (SETTINGS.values_at_once // (SETTINGS.images_per_step * IMAGES[0].size)))
    assert len(pieces) > groups
    gone = {"all after the halt": pieces[groups:], "one before it": pieces[:1], "none": []}[lost]
    for path in gone:
        path.unlink()
    steps: list[int] = []
    again = _searched(DRAWN, steps, Unfinished(tmp_path, "key"), network)
    assert (again.stopped, again.unsolved) == (whole.stopped, whole.unsolved)
    for one, other in zip(whole.values, again.values, strict=True):
        for found, found_again in zip(one, other, strict=True):
            np.testing.assert_array_equal(found, found_again)
    halt = STEPS // 3
    expected = {
        "all after the halt": (len(pieces) - groups) * (STEPS - halt),
        "one before it": halt,
        "none": 0,
    }
    assert network.called - calls == expected[lost]
    assert sum(steps) == label_steps(SETTINGS, LABELS, len(DRAWN))
