import math

import pytest

from hardener.errors import UsageError
from hardener.measuring.budget import check_budgets, within_budget


def test_a_loss_of_just_the_budget_holds_it() -> None:
    assert 0.97 - 0.96 > 0.01  # as floats
    assert within_budget(0.97, 0.96, 0.01)
    assert not within_budget(0.97, 0.9599, 0.01)
    assert within_budget(0.96, 0.97, 0)


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_budgets_are_fractions(value: float) -> None:
    check_budgets(0, 1)
    with pytest.raises(UsageError, match="--max-accuracy-drop is a fraction"):
        check_budgets(value, 0.1)
    with pytest.raises(UsageError, match="--max-attack-success is a fraction"):
        check_budgets(0.1, value)
