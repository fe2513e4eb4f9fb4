"""Which round of a repair is kept."""

from collections.abc import Sequence

from hardener.measuring.intervals import wilson
from hardener.results import RepairRound

SMALL_RELATIVE_SIZE = 0.5
"""Of the median of all labels: a smaller trigger that works means another round."""

_ROUNDING = 1e-9


def answers_still(found: RepairRound) -> bool:
    """Whether a small trigger still works on a round's model."""
    sizes = (found.patch_relative_size, found.additive_relative_size)
    return any(size is not None and size < SMALL_RELATIVE_SIZE for size in sizes)


def choose_round(
    rounds: Sequence[RepairRound], max_accuracy_drop: float, images: int
) -> int | None:
    """Picks the round that leaves least of the attack within the accuracy budget.

    A model on which no small trigger works any more comes before one that still answers. Of the
    others the attack success rate decides; rates within the 95 % interval of the lowest count as
    equally low, and the highest robust accuracy wins.

    Args:
        rounds: in order; the first is the model as it came.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.
        images: how many the rates were measured on.

    Returns:
        Position of the choice, or None where no round holds the budget.
    """
    allowed = [
        position
        for position, found in enumerate(rounds)
        if position and rounds[0].accuracy - found.accuracy <= max_accuracy_drop + _ROUNDING
    ]
    ended = [position for position in allowed if not answers_still(rounds[position])]
    if not allowed:
        return None
    best = ended or allowed
    rates = {position: rounds[position].attack_success_rate for position in best}
    low_enough = wilson(round(min(rates.values()) * images), images).high
    return max(
        (position for position in best if rates[position] <= low_enough),
        key=lambda position: (rounds[position].robust_accuracy, position),
    )
