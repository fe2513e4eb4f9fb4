"""Which round of a repair is kept."""

import math
from collections.abc import Sequence
from typing import TypeAlias

from hardener.documents.repair import RepairRound
from hardener.measuring.budget import within_budget
from hardener.measuring.intervals import Interval, wilson
from hardener.scanning.calibration import shipped

SMALL_SUCCESS = 0.01
"""A trigger of a later search that succeeds more is fitted on in the next round."""

LARGE_SUCCESS = 0.05
"""As much success of stronger triggers that were not fitted on means another round, and an attempt
that leaves as much is taken only where no other does better."""

Standing: TypeAlias = tuple[int, int, float]

ENDED: Standing = (0, 1, -math.inf)
"""An attempt that stands better is safely inside the budget and leaves less than a percent."""


def answers_still(found: RepairRound) -> bool:
    """Whether a scan would doubt a round's model, or triggers it was not fitted on still work."""
    return looks_backdoored(found) or found.strengthened_success_rate > LARGE_SUCCESS


def looks_backdoored(found: RepairRound) -> bool:
    """Whether the scan's own verdict would not call a round's model clean."""
    return found.suspicion >= shipped().clean_below


def another_round_helps(rounds: Sequence[RepairRound]) -> bool:
    """Whether the last round's model still answers, and less than the one before.

    A trigger that shows what its label really looks like keeps some success for ever: the last
    round must have halved it.

    Args:
        rounds: in order, at least two; the first is the model as it came.
    """
    before, last = rounds[-2:]
    if looks_backdoored(last):
        return len(rounds) == 2 or last.suspicion < before.suspicion
    halved = 2 * last.strengthened_success_rate <= before.strengthened_success_rate
    return answers_still(last) and halved


def standing(lost: Interval, left: float, max_accuracy_drop: float) -> Standing:
    """How one attempt stands among others: the lowest is the best.

    First come those that are inside the budget by one standard error and leave little, then those
    inside it, then all others. Within a rank what is left decides, in whole percents, then what is
    lost; of those over the budget what is lost alone.

    Args:
        lost: accuracy, with its 95 % interval.
        left: success rate of triggers that it was not fitted on.
        max_accuracy_drop: the budget, as a fraction of all images.
    """
    percents = int(100 * left)
    if not within_budget(lost.value, 0.0, max_accuracy_drop):
        return 2, 0, lost.value
    safe = within_budget((lost.value + lost.high) / 2, 0.0, max_accuracy_drop)
    return (0 if safe and left <= LARGE_SUCCESS else 1), percents, lost.value


def choose_round(rounds: Sequence[RepairRound], max_accuracy_drop: float) -> int | None:
    """Picks the round that leaves least of the attack within the accuracy budget.

    A model that no longer answers to triggers comes first, then one that a scan would not call
    backdoored. Of equals the
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
        if position and within_budget(found.accuracy_lost, 0.0, max_accuracy_drop)
    ]
    ended = [position for position in allowed if not answers_still(rounds[position])]
    if not allowed:
        return None
    quiet = [row for row in allowed if rounds[row].suspicion < shipped().backdoored_from]
    best = ended or quiet or allowed
    rates = {position: rounds[position].strengthened_success_rate for position in best}
    tries = rounds[0].strengthened_tries
    low_enough = wilson(round(min(rates.values()) * tries), tries).high
    return max(
        (position for position in best if rates[position] <= low_enough),
        key=lambda position: (rounds[position].robust_accuracy, position),
    )
