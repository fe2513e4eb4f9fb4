"""Which round of a repair is kept."""

from collections.abc import Mapping, Sequence

from hardener.documents.repair import RepairRound
from hardener.measuring.budget import within_budget
from hardener.measuring.intervals import wilson
from hardener.measuring.quality import Counts
from hardener.scanning.calibration import shipped

SMALL_SUCCESS = 0.01
"""A trigger of a later search that succeeds more is fitted on in the next round."""

LARGE_SUCCESS = 0.05
"""As much success of stronger triggers that were not fitted on means another round."""


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


def strongest_first(weighed: Mapping[float, Counts], least_accuracy: float) -> list[float]:
    """Weights of stamped images in the order in which they are to be tried: strongest first.

    Args:
        weighed: counts of clean images by the closed form with each weight.
        least_accuracy: with less a closed form is not tried, but for the gentlest.
    """
    gentlest = min(weighed)
    allowed = (
        weight
        for weight, clean in weighed.items()
        if weight == gentlest or clean.correct >= least_accuracy * clean.n
    )
    return sorted(allowed, reverse=True)


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
