"""One threshold out of a sweep, within the accuracy budget."""

from collections.abc import Sequence

from hardener.measuring.intervals import largest_likely_drop, wilson
from hardener.measuring.quality import Counts
from hardener.pruning.sweep import Trial


def choose(clean: str, trials: Sequence[Trial], max_accuracy_drop: float) -> int | None:
    """Picks the most accurate pruning among those that all but end the attack.

    Two guards against chance in the choosing images: the budget holds for the upper end of a
    one-sided 95 % interval of the drop, and success rates within the 95 % interval of the
    lowest one count as equally low.

    Args:
        clean: name of the clean probe; all other probes are attacks.
        trials: of one sweep; the first prunes nothing.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.

    Returns:
        Position of the choice, or None where no pruning within the budget lowers the attack
        success rate.
    """
    hits = [attacked(clean, trial).hits for trial in trials]
    allowed = [
        position
        for position, trial in enumerate(trials)
        if hits[position] < hits[0]
        and largest_likely_drop(trial.lost, trial.gained, trial.counts[clean].n)
        <= max_accuracy_drop
    ]
    if not allowed:
        return None
    others = attacked(clean, trials[0]).others
    low_enough = wilson(min(hits[position] for position in allowed), others).high
    return min(
        (position for position in allowed if hits[position] / others <= low_enough),
        key=lambda p: (-trials[p].counts[clean].correct, hits[p], p),
    )


def attacked(clean: str, trial: Trial) -> Counts:
    """All attacks of a trial counted together."""
    total = Counts()
    for name, counts in trial.counts.items():
        if name != clean:
            total += counts
    return total
