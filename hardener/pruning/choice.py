"""One threshold out of a sweep, within the accuracy budget."""

from collections.abc import Sequence

from hardener.measuring.intervals import largest_likely_drop, wilson
from hardener.measuring.quality import Counts
from hardener.pruning.sweep import Trial


def choose(clean: str, trials: Sequence[Trial], max_accuracy_drop: float) -> int | None:
    """Picks the pruning of lowest attack success rate within the budget.

    Among those of the lowest it is the one that gives most triggered images back to their true
    label. Two guards against chance in the choosing images: the budget holds for the
    upper end of a one-sided 95 % interval of the drop, and success rates within the 95 %
    interval of the lowest one count as equally low. The lower of two equal thresholds wins,
    since a synthetic trigger is at best as strong as the true one.

    Args:
        clean: name of the clean probe; all other probes are attacks.
        trials: of one sweep; the first prunes nothing.
        max_accuracy_drop: allowed loss of accuracy, as a fraction of all images.

    Returns:
        Position of the choice, or None where no pruning within the budget lowers the attack
        success rate.
    """
    attacks = [attacked(clean, trial) for trial in trials]
    hits = [counts.hits for counts in attacks]
    allowed = [
        position
        for position, trial in enumerate(trials)
        if hits[position] < hits[0]
        and largest_likely_drop(trial.lost, trial.gained, trial.counts[clean].n)
        <= max_accuracy_drop
    ]
    if not allowed:
        return None
    others = attacks[0].others
    low_enough = wilson(min(hits[position] for position in allowed), others).high
    return max(
        (position for position in allowed if hits[position] / others <= low_enough),
        key=lambda position: (attacks[position].robust, position),
    )


def attacked(clean: str, trial: Trial) -> Counts:
    """All attacks of a trial counted together."""
    total = Counts()
    for name, counts in trial.counts.items():
        if name != clean:
            total += counts
    return total
