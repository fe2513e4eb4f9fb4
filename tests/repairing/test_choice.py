from hardener.documents.repair import RepairRound
from hardener.measuring.intervals import Interval
from hardener.repairing.choice import (
    another_round_helps,
    answers_still,
    choose_round,
    standing,
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
        accuracy_lost=0.97 - accuracy,
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


def test_a_model_that_a_scan_would_not_call_backdoored_comes_before_one_that_it_would() -> None:
    accused = _round(0.97, 0.0, 0.96, suspicion=shipped().backdoored_from)
    assert choose_round([BEFORE, accused, _round(0.97, 0.06, 0.90)], 0.01) == 2


def test_of_equal_attack_success_the_higher_robust_accuracy_wins() -> None:
    rounds = [BEFORE, _round(0.97, 0.002, 0.96), _round(0.97, 0.001, 0.90)]
    assert choose_round(rounds, 0.01) == 1
    assert choose_round([BEFORE, _round(0.97, 0.2, 0.96), rounds[2]], 0.01) == 2


def test_an_attempt_that_is_safely_inside_the_budget_and_leaves_little_comes_first() -> None:
    safe, risky = Interval(0.004, 0.0, 0.008), Interval(0.009, 0.0, 0.018)
    assert standing(safe, 0.05, 0.01) < standing(risky, 0.0, 0.01)
    assert standing(risky, 0.02, 0.01) < standing(safe, 0.08, 0.01)


def test_of_attempts_that_leave_as_many_percents_the_one_that_loses_less_comes_first() -> None:
    less, more = Interval(0.001, 0.0, 0.002), Interval(0.003, 0.0, 0.006)
    assert standing(less, 0.019, 0.01) < standing(more, 0.011, 0.01)
    assert standing(more, 0.009, 0.01) < standing(less, 0.011, 0.01)


def test_over_the_budget_what_is_lost_decides_alone() -> None:
    over, dearer = Interval(0.02, 0.01, 0.03), Interval(0.03, 0.02, 0.04)
    assert standing(over, 0.9, 0.01) < standing(dearer, 0.0, 0.01)
    assert standing(Interval(0.01, 0.0, 0.02), 1.0, 0.01) < standing(over, 0.0, 0.01)


def test_the_budget_is_held_on_all_images_that_nothing_was_fitted_on() -> None:
    worse_here = _round(0.94, 0.0, 0.96).model_copy(update={"accuracy_lost": 0.005})
    better_here = _round(0.97, 0.0, 0.90).model_copy(update={"accuracy_lost": 0.02})
    assert choose_round([BEFORE, worse_here, better_here], 0.01) == 1
