import numpy as np
import pytest
from support.scans import scan_of

from hardener.measuring.intervals import wilson
from hardener.measuring.quality import Counts
from hardener.repairing.residual import MARGIN, left_by, probes, residual
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger
from hardener.triggers.warp import Warp


def _faint(label: int) -> AdditiveTrigger:
    return AdditiveTrigger(np.full((3, 4, 4), 0.01, np.float32), label)


def _counts(hits: int) -> Counts:
    return Counts(100, 0, 80, hits, 0)


def test_of_each_label_the_trigger_that_succeeds_most_is_told() -> None:
    mask = np.zeros((1, 4, 4), np.float32)
    patch = Trigger(mask, np.ones((3, 4, 4), np.float32), 0)
    scan = scan_of([patch, _faint(0), Warp(np.zeros((2, 2, 2), np.float32), 0)], 0)
    one, other, unseen, universal, beside = _faint(0), _faint(0), _faint(0), _faint(0), _faint(5)
    tried = probes([one, other], [unseen], [universal], [beside], scan)
    hits: dict[SyntheticTrigger, int] = {one: 8, other: 4, unseen: 2, universal: 40, beside: 60}
    flat = [trigger for of_name in tried.values() for trigger in of_name]
    counts = {trigger: _counts(hits.get(trigger, 1)) for trigger in flat}
    rows = {(row.triggers, row.label): row for row in left_by(tried, counts, ())}
    assert rows["the scan's", 0].success_rate == pytest.approx(0.1)
    assert rows["the scan's", 0].fitted
    assert rows["of a second search", 0].success_rate == pytest.approx(0.025)
    assert not rows["of a second search", 0].fitted
    assert rows["universal, other labels", 5].success_rate == pytest.approx(0.75)
    assert rows["none: clean images", 0].success_rate == pytest.approx(0.0125)

    found = residual(tried, counts)
    assert found.estimate == pytest.approx(0.1), "universal ones are no part of it"
    assert found.upper == pytest.approx(wilson(40, 80).high + MARGIN), "but of the bound"
    everything = dict.fromkeys(flat, _counts(80))
    assert residual(tried, everything).upper == 1


@pytest.mark.parametrize(("beside", "held"), [(6, 0.1), (10, 0.05)])
def test_a_perturbation_is_held_against_a_model_where_others_reach_their_labels_less(
    beside: int, held: float
) -> None:
    mask = np.zeros((1, 4, 4), np.float32)
    patch = Trigger(mask, np.ones((3, 4, 4), np.float32), 0)
    scan = scan_of([patch, _faint(0), Warp(np.zeros((2, 2, 2), np.float32), 0)], 0)
    faint, other = _faint(0), _faint(5)
    tried = probes([faint], [patch], [], [other], scan)
    hits: dict[SyntheticTrigger, int] = {faint: 8, patch: 4, other: beside}
    flat = [trigger for of_name in tried.values() for trigger in of_name]
    found = residual(tried, {trigger: _counts(hits.get(trigger, 0)) for trigger in flat})
    assert found.held_against == pytest.approx(held)
    assert found.estimate == pytest.approx(0.1)


def test_a_label_that_universal_perturbations_still_reach_more_than_others_is_held_against_it() -> (
    None
):
    one, two, other = _faint(0), _faint(0), _faint(5)
    patch = Trigger(np.zeros((1, 4, 4), np.float32), np.ones((3, 4, 4), np.float32), 0)
    scan = scan_of([patch, _faint(0), Warp(np.zeros((2, 2, 2), np.float32), 0)], 0)
    tried = probes([], [], [one, two], [other], scan)
    hits: dict[SyntheticTrigger, int] = {one: 80, two: 40, other: 20}
    flat = [trigger for of_name in tried.values() for trigger in of_name]
    found = residual(tried, {trigger: _counts(hits.get(trigger, 0)) for trigger in flat})
    assert found.held_against == pytest.approx(0.75), "by their mean"
    assert found.estimate == 0
