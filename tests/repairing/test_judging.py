"""What speaks against writing a repaired model."""

import pytest
from support.documents import some_repair

from hardener.documents.repair import NO_TRIGGER, AccuracyLost, AttackLeft, ResidualSuccess
from hardener.repairing.judging import is_blind, objection, reached_anyway, too_few_to_tell
from hardener.scanning.calibration import shipped
from hardener.scanning.evidence import LEAST_SUCCESS

BACKDOORED = shipped().backdoored_from


def test_nothing_speaks_against_a_good_repair() -> None:
    result = some_repair()
    assert objection(result, result.rounds[1].suspicion) is None


@pytest.mark.parametrize(("suspicion", "against"), [(BACKDOORED, "attack-left"), (0.59, None)])
def test_what_a_scan_would_call_backdoored_is_not_written(
    suspicion: float, against: str | None
) -> None:
    assert objection(some_repair(), 0.0, suspicion) == against


def test_more_than_the_allowed_attack_or_loss_is_not_written() -> None:
    result = some_repair()
    left = ResidualSuccess(estimate=0.11, upper=0.2, held_against=0.11)
    attacked = result.model_copy(update={"residual_success": left})
    assert objection(attacked, result.rounds[1].suspicion) == "attack-left"
    usual = left.model_copy(update={"held_against": 0.0})
    assert (
        objection(result.model_copy(update={"residual_success": usual}), result.rounds[1].suspicion)
        is None
    )
    lost = AccuracyLost(value=0.011, low=0.0, high=0.02)
    dearer = result.model_copy(update={"accuracy_lost": lost})
    assert objection(dearer, result.rounds[1].suspicion) == "over-budget"


def test_it_is_told_where_clean_images_go_to_the_label_more_than_the_attack_may() -> None:
    row = AttackLeft(triggers=NO_TRIGGER, label=3, success_rate=0.108, fitted=False)
    (note,) = reached_anyway(some_repair().model_copy(update={"left": (row,)}))
    assert "10.8%" in note
    assert "label 3" in note
    few = row.model_copy(update={"success_rate": 0.02})
    assert not reached_anyway(some_repair().model_copy(update={"left": (few,)}))


def test_it_is_told_where_the_images_are_too_few_for_the_budget() -> None:
    sure = AccuracyLost(value=0.0, low=-0.01, high=0.01)
    assert not too_few_to_tell(some_repair().model_copy(update={"accuracy_lost": sure}))
    unsure = sure.model_copy(update={"high": 0.054})
    (note,) = too_few_to_tell(some_repair().model_copy(update={"accuracy_lost": unsure}))
    assert "5.4%" in note


def test_triggers_that_did_nothing_to_begin_with_measure_nothing() -> None:
    came = some_repair().rounds[0]
    assert is_blind(came.model_copy(update={"attack_success_rate": LEAST_SUCCESS - 0.01}))
    assert not is_blind(came.model_copy(update={"attack_success_rate": LEAST_SUCCESS}))
