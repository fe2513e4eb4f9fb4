"""Which round of a repair is kept."""

from collections.abc import Mapping, Sequence

from hardener.documents.repair import RepairRound
from hardener.measuring.budget import within_budget
from hardener.measuring.intervals import wilson
from hardener.repairing.trials import Attacked

SMALL_RELATIVE_SIZE = 0.5
"""Of the median of all labels: a smaller trigger that works means another round."""

SMALL_SUCCESS = 0.01
"""More success of triggers that were not trained on, made stronger, means another round."""

LARGE_SUCCESS = 0.1
"""As much success of those means another round even where the last one did little."""


def answers_still(found: RepairRound) -> bool:
    """Whether a small trigger works on a round's model, or a stronger one it was not trained on."""
    return small_trigger_left(found) or found.strengthened_success_rate > SMALL_SUCCESS


def another_round_helps(rounds: Sequence[RepairRound]) -> bool:
    """Whether the last round's model still answers, and not only as it will after any round.

    A trigger that shows what its label really looks like keeps some success for ever: where no
    small trigger is left and the success is low, the last round must have halved it.

    Args:
        rounds: in order, at least two; the first is the model as it came.
    """
    before, last = rounds[-2:]
    if small_trigger_left(last) or last.strengthened_success_rate > LARGE_SUCCESS:
        return True
    return answers_still(last) and _halved(before, last)


def _halved(before: RepairRound, last: RepairRound) -> bool:
    return 2 * last.strengthened_success_rate <= before.strengthened_success_rate


def small_trigger_left(found: RepairRound) -> bool:
    """Whether a trigger of less than half the median size still works."""
    return any(size < SMALL_RELATIVE_SIZE for size in found.relative_sizes.values())


def strongest_first(weighed: Mapping[float, Attacked], least_accuracy: float) -> list[float]:
    """Weights of stamped images in the order in which they are to be tried.

    First the one that leaves least of the attack, then gentler ones, down to the gentlest. Of
    those whose success is as low as the lowest, by its 95 % interval, the highest robust accuracy
    leads.

    Args:
        weighed: counts of the closed form with each weight, on the same images.
        least_accuracy: with less a closed form is not tried, but for the gentlest.
    """
    gentlest = min(weighed)
    allowed = {
        weight: one
        for weight, one in weighed.items()
        if weight == gentlest or one.clean.correct >= least_accuracy * one.clean.n
    }
    lowest = min((one.strengthened for one in allowed.values()), key=lambda one: one.success_rate)
    low_enough = wilson(lowest.hits, max(1, lowest.others)).high
    best = max(
        (one for one in allowed if allowed[one].strengthened.success_rate <= low_enough),
        key=lambda one: (allowed[one].strengthened.robust_accuracy, -one),
    )
    return sorted((one for one in allowed if one <= best), reverse=True)


def choose_round(rounds: Sequence[RepairRound], max_accuracy_drop: float) -> int | None:
    """Picks the round that leaves least of the attack within the accuracy budget.

    A model that no longer answers to triggers comes before one that does. Of the others the
    success rate of strengthened triggers decides; rates within the 95 % interval of the lowest
    count as equally low, and the highest robust accuracy wins.

    Args:
        rounds: in order; the first is the model as it came.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.

    Returns:
        Position of the choice, or None where no round holds the budget.
    """
    allowed = [
        position
        for position, found in enumerate(rounds)
        if position and within_budget(rounds[0].accuracy, found.accuracy, max_accuracy_drop)
    ]
    ended = [position for position in allowed if not answers_still(rounds[position])]
    if not allowed:
        return None
    best = ended or allowed
    rates = {position: rounds[position].strengthened_success_rate for position in best}
    tries = rounds[0].strengthened_tries
    low_enough = wilson(round(min(rates.values()) * tries), tries).high
    return max(
        (position for position in best if rates[position] <= low_enough),
        key=lambda position: (rounds[position].robust_accuracy, position),
    )
