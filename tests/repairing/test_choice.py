from hardener.documents.repair import RepairRound
from hardener.repairing.choice import another_round_helps, answers_still, choose_round


def _round(
    accuracy: float,
    attack: float,
    robust: float,
    *,
    strong: float | None = None,
    patch: float | None = None,
    warp: float | None = None,
) -> RepairRound:
    return RepairRound(
        triggers=2,
        accuracy=accuracy,
        attack_success_rate=attack,
        robust_accuracy=robust,
        strengthened_success_rate=attack if strong is None else strong,
        patch_relative_size=patch,
        additive_relative_size=None,
        warp_relative_size=warp,
        strengthened_tries=1000,
    )


BEFORE = _round(0.97, 1.0, 0.0, patch=0.05)


def test_a_small_trigger_that_works_is_an_answer() -> None:
    assert answers_still(BEFORE)
    assert not answers_still(_round(0.97, 0.0, 0.9, patch=0.8))
    assert answers_still(_round(0.97, 0.0, 0.9, warp=0.3))
    assert not answers_still(_round(0.97, 0.0, 0.9))


def test_success_of_strengthened_triggers_is_an_answer() -> None:
    assert answers_still(_round(0.97, 0.0, 0.9, strong=0.011, patch=0.8))
    assert not answers_still(_round(0.97, 0.0, 0.9, strong=0.01, patch=0.8))


def test_another_round_follows_while_it_helps() -> None:
    assert another_round_helps([BEFORE, _round(0.97, 0.0, 0.9, patch=0.2)])
    assert not another_round_helps([BEFORE, _round(0.97, 0.0, 0.9, patch=0.8)])
    fell = _round(0.97, 0.1, 0.8)
    assert another_round_helps([BEFORE, fell])
    assert not another_round_helps([BEFORE, fell, _round(0.97, 0.09, 0.8)])
    assert another_round_helps([BEFORE, _round(0.97, 0.2, 0.8), _round(0.97, 0.11, 0.8)])
    assert another_round_helps([BEFORE, fell, _round(0.97, 0.09, 0.8, patch=0.2)])


def test_the_model_as_it_came_is_never_chosen() -> None:
    assert choose_round([BEFORE], 1.0) is None


def test_no_round_over_budget_is_chosen() -> None:
    rounds = [BEFORE, _round(0.95, 0.0, 0.9)]
    assert choose_round(rounds, 0.01) is None
    assert choose_round(rounds, 0.02) == 1


def test_a_model_that_no_longer_answers_comes_first() -> None:
    rounds = [BEFORE, _round(0.97, 0.0, 0.95, patch=0.2), _round(0.965, 0.01, 0.9, patch=0.9)]
    assert choose_round(rounds, 0.01) == 2
    assert choose_round(rounds, 0.001) == 1


def test_of_equal_attack_success_the_higher_robust_accuracy_wins() -> None:
    rounds = [BEFORE, _round(0.97, 0.002, 0.96), _round(0.97, 0.001, 0.90)]
    assert choose_round(rounds, 0.01) == 1
    assert choose_round([BEFORE, _round(0.97, 0.2, 0.96), rounds[2]], 0.01) == 2
