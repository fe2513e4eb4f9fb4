"""How much of the attack is left: triggers that are at hand, tried on images that nobody fitted on.

The attacker's own trigger is not at hand. What stands for it are triggers that work on the model
as it came: of the scan, of a second search, stronger versions of both, and universal
perturbations from starts of their own. After a cure that took out what carries the backdoor none
of them works; after one that learnt to know the fitted triggers, those that it never met do.
"""

from collections.abc import Collection, Mapping, Sequence
from statistics import mean, median

import numpy as np

from hardener.documents.repair import NO_TRIGGER, AttackLeft, ResidualSuccess
from hardener.documents.scan import ScanResult
from hardener.measuring.intervals import wilson
from hardener.measuring.quality import Counts, most_successful
from hardener.repairing.trials import is_small, stronger
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import SyntheticTrigger

MARGIN = 0.03
"""Added for the attacker's own trigger; set beforehand, and not calibrated. How often the sum held
`benchmarks/leaderboard.py` tells."""

_UNIVERSAL = "universal"
_OTHERS = "universal, other labels"
_SPREAD = (_UNIVERSAL, _OTHERS)

Probes = Mapping[str, Sequence[SyntheticTrigger]]
"""Triggers to try, by what they are called."""

_FITTED = ("the scan's", "the scan's, stronger")
"""Names of those that a repair is fitted on."""


def probes(
    scanned: Sequence[SyntheticTrigger],
    unseen: Sequence[SyntheticTrigger],
    universal: Sequence[AdditiveTrigger],
    others: Sequence[AdditiveTrigger],
    scan: ScanResult,
) -> Probes:
    """What is tried.

    Args:
        scanned: the scan's triggers, of which small ones are tried.
        unseen: of a second search on the model as it came.
        universal: perturbations from starts of their own, on the model as it came.
        others: the same toward labels that nobody accuses.
        scan: of the model as it came.
    """
    few = [trigger for trigger in scanned if is_small(trigger, scan)]
    return {
        NO_TRIGGER: list({trigger.label: _nothing(trigger) for trigger in universal}.values()),
        "the scan's": few,
        "the scan's, stronger": [stronger(trigger, scan) for trigger in few],
        "of a second search": unseen,
        "of a second search, stronger": [stronger(trigger, scan) for trigger in unseen],
        _UNIVERSAL: universal,
        _OTHERS: others,
    }


def _nothing(trigger: AdditiveTrigger) -> AdditiveTrigger:
    return AdditiveTrigger(np.zeros_like(trigger.perturbation), trigger.label)


def left_by(
    tried: Probes,
    counts: Mapping[SyntheticTrigger, Counts],
    exchanging: Collection[SyntheticTrigger],
) -> tuple[AttackLeft, ...]:
    """Of each name and label the trigger that succeeds most.

    Args:
        tried: the triggers.
        counts: of each on the reporting images, on the repaired model.
        exchanging: those of them that send images to no one label.
    """
    rates: dict[tuple[str, int | None], float] = {}
    for name, triggers in tried.items():
        for trigger in sorted(triggers, key=lambda one: one.label):
            key = name, None if trigger in exchanging else trigger.label
            rates[key] = max(rates.get(key, 0.0), counts[trigger].success_rate)
    return tuple(
        AttackLeft(triggers=name, label=label, success_rate=rate, fitted=name in _FITTED)
        for (name, label), rate in rates.items()
    )


def residual(tried: Probes, counts: Mapping[SyntheticTrigger, Counts]) -> ResidualSuccess:
    """What triggers at hand keep, and a bound.

    Universal perturbations toward the accused label count for the bound by their mean, for any one
    of them may be a bad one.

    Args:
        tried: all triggers.
        counts: of each on the reporting images, on the repaired model.
    """
    found = [one for name, some in tried.items() if name not in _SPREAD for one in some]
    worst = most_successful(counts[trigger] for trigger in found)
    highest = wilson(worst.hits, max(1, worst.others)).high
    spread: list[float] = []
    universal = tried.get(_UNIVERSAL, ())
    for label in {trigger.label for trigger in universal}:
        own = [counts[one] for one in universal if one.label == label]
        spread.append(mean(one.success_rate for one in own))
        others = max(1, own[0].others)
        highest = max(highest, wilson(round(spread[-1] * others), others).high)
    beside = [counts[one].success_rate for one in tried.get(_OTHERS, ())]
    usual = median(beside) if beside else 0.0
    shapes = [counts[one].success_rate for one in found if not isinstance(one, AdditiveTrigger)]
    faint = [counts[one].success_rate for one in found if isinstance(one, AdditiveTrigger)]
    held = [*shapes, *(rate for rate in (*faint, *spread) if rate > usual)]
    return ResidualSuccess(
        estimate=worst.success_rate,
        upper=min(1.0, highest + MARGIN),
        held_against=max(held, default=0.0),
    )
