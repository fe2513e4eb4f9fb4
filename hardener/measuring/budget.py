"""What may be lost and left: the two budgets of every hardening."""

from hardener.errors import UsageError

_ROUNDING = 1e-9


def within_budget(before: float, after: float, max_accuracy_drop: float) -> bool:
    """Whether no more accuracy is lost than allowed; all in [0, 1].

    A loss that equals the budget holds it, however its difference was rounded.
    """
    return before - after <= max_accuracy_drop + _ROUNDING


def check_budgets(max_accuracy_drop: float, max_attack_success: float) -> None:
    """Refuses budgets that are no fractions.

    Raises:
        UsageError: one of them is not in [0, 1].
    """
    for name, value in (
        ("--max-accuracy-drop", max_accuracy_drop),
        ("--max-attack-success", max_attack_success),
    ):
        if not 0 <= value <= 1:
            raise UsageError(f"{name} is a fraction from 0 to 1, not {value}")
