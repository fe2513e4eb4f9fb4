from hardener.documents.repair import RepairRound
from hardener.measuring.quality import Counts
from hardener.repairing.choice import (
    another_round_helps,
    answers_still,
    choose_round,
    strongest_first,
)
from hardener.scanning.calibration import shipped


def _round(
    accuracy: float,
    attack: float,
    robust: float,
    *,
    strong: float | None = None,
    suspicion: float = 0.0,
) -> RepairRound:
    return RepairRound(
        triggers=2,
        weight=0.1,
        accuracy=accuracy,
        attack_success_rate=attack,
        robust_accuracy=robust,
        strengthened_success_rate=attack if strong is None else strong,
        strengthened_tries=1000,
        suspicion=suspicion,
    )


BEFORE = _round(0.97, 1.0, 0.0, suspicion=0.95)
DOUBTED = shipped().clean_below


def test_what_a_scan_would_doubt_answers_still() -> None:
    assert answers_still(BEFORE)
    assert answers_still(_round(0.97, 0.0, 0.9, suspicion=DOUBTED))
    assert not answers_still(_round(0.97, 0.0, 0.9, suspicion=DOUBTED - 0.01))


def test_success_of_strengthened_triggers_is_an_answer() -> None:
    assert answers_still(_round(0.97, 0.0, 0.9, strong=0.051))
    assert not answers_still(_round(0.97, 0.0, 0.9, strong=0.05))


def test_another_round_follows_while_it_helps() -> None:
    assert not another_round_helps([BEFORE, _round(0.97, 0.0, 0.9)])
    doubted = _round(0.97, 0.0, 0.9, suspicion=0.8)
    assert another_round_helps([BEFORE, doubted])
    assert another_round_helps([BEFORE, doubted, _round(0.97, 0.0, 0.9, suspicion=0.6)])
    assert not another_round_helps([BEFORE, doubted, _round(0.97, 0.0, 0.9, suspicion=0.9)])
    fell = _round(0.97, 0.1, 0.8)
    assert another_round_helps([BEFORE, fell])
    assert not another_round_helps([BEFORE, fell, _round(0.97, 0.09, 0.8)])


def test_the_model_as_it_came_is_never_chosen() -> None:
    assert choose_round([BEFORE], 1.0) is None


def test_no_round_over_budget_is_chosen() -> None:
    rounds = [BEFORE, _round(0.95, 0.0, 0.9)]
    assert choose_round(rounds, 0.01) is None
    assert choose_round(rounds, 0.02) == 1


def test_a_model_that_no_longer_answers_comes_first() -> None:
    rounds = [BEFORE, _round(0.97, 0.0, 0.95, suspicion=0.8), _round(0.965, 0.01, 0.9)]
    assert choose_round(rounds, 0.01) == 2
    assert choose_round(rounds, 0.001) == 1


def test_of_equal_attack_success_the_higher_robust_accuracy_wins() -> None:
    rounds = [BEFORE, _round(0.97, 0.002, 0.96), _round(0.97, 0.001, 0.90)]
    assert choose_round(rounds, 0.01) == 1
    assert choose_round([BEFORE, _round(0.97, 0.2, 0.96), rounds[2]], 0.01) == 2


def test_the_strongest_cure_is_tried_first() -> None:
    weighed = {0.1: Counts(100, 97), 0.3: Counts(100, 96), 1.0: Counts(100, 95)}
    assert strongest_first(weighed, 0.9) == [1.0, 0.3, 0.1]


def test_what_costs_too_much_is_not_tried_but_for_the_gentlest() -> None:
    weighed = {0.1: Counts(100, 80), 0.3: Counts(100, 96), 1.0: Counts(100, 80)}
    assert strongest_first(weighed, 0.9) == [0.3, 0.1]
    assert strongest_first({0.1: Counts(100, 0)}, 0.9) == [0.1]
