"""What a detector saw, in the form that every detector gives and the verdict weighs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from hardener.arrays import FloatArray
from hardener.subject import Subject
from hardener.triggers.family import SyntheticTrigger

STANDS_OUT = "stands out in the network itself, without any image"
"""What is said of a label that no image was needed to accuse."""
LEFT_BEHIND = (
    "a label that stands out so far in the network itself is what a backdoor leaves behind"
)
"""What that means beside a trigger."""
WEAK_ALONE = (
    "what stands out in the network itself accuses no model without a trigger that stands out too: "
    "networks without a backdoor show it as well"
)
"""What it means without one."""


@dataclass(frozen=True)
class Doubt:
    """What could not be looked at, or failed: the verdict is not clean then.

    Attributes:
        sentence: for people.
        fatal: whether not even `backdoored` can be said.
    """

    sentence: str
    fatal: bool = False


@dataclass(frozen=True, eq=False)
class FoundTriggers:
    """The triggers that a search came to.

    Attributes:
        labels: that were searched, ascending.
        all: every one, as the scan saves them.
        strongest: of each label that was searched the most suspicious one.
        easiest: the label to name where none is suspicious.
        said: tells of a label's most suspicious trigger; takes the label and its suspicion.
    """

    labels: tuple[int, ...]
    all: Sequence[SyntheticTrigger]
    strongest: Mapping[int, SyntheticTrigger]
    easiest: int
    said: Callable[[int, float], str]


@dataclass(frozen=True, eq=False)
class Finding:
    """What one detector saw.

    Attributes:
        scores: (K,) suspicion of each label in [0, 1], NaN of those not looked at; None where it
            does not judge labels.
        whole: suspicion in [0, 1] of an attack that has no target label; None where it looks for
            none.
        accuses: what is said of a label whose score is high, behind its number; empty where
            nothing more is.
        against: sentences that speak for a backdoor.
        favour: what speaks for a clean model, as part of a sentence.
        closing: a sentence on what a high score of a label means.
        doubts: what could not be looked at, or failed.
        said: sentences on what was looked at and how.
        evidence: fields of `scan.json` that are made for this detector.
        details: what else `scan.json` tells, in the detector's row of `findings`.
        triggers: where it searches some.
        exchanges: of each family that was searched the trigger that most exchanges labels.
        untried: whether its scores were read off the network, and tried on no image.
        undecided: labels whose triggers something else may explain: what was read off the network
            accuses them no further.
        rest: the subject without what was found, for the detectors that come behind.
    """

    scores: FloatArray | None = None
    whole: float | None = None
    accuses: str = ""
    against: tuple[str, ...] = ()
    favour: str = ""
    closing: str = ""
    doubts: tuple[Doubt, ...] = ()
    said: tuple[str, ...] = ()
    evidence: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, JsonValue] = field(default_factory=dict)
    triggers: FoundTriggers | None = None
    exchanges: Sequence[SyntheticTrigger] = ()
    untried: bool = False
    undecided: tuple[int, ...] = ()
    rest: Subject | None = None
