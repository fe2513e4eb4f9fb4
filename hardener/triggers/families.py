"""The table of trigger families: a new one is its file and one line here."""

from collections.abc import Mapping
from typing import Any

from hardener.triggers.additive import ADDITIVE
from hardener.triggers.family import Family, SyntheticTrigger, TriggerKind
from hardener.triggers.patch import PATCH
from hardener.triggers.warp import WARP

FAMILIES: Mapping[TriggerKind, Family[Any]] = {
    family.name: family for family in (PATCH, ADDITIVE, WARP)
}
"""In the order in which documents and tables name them."""


def family_of(trigger: SyntheticTrigger) -> Family[Any]:
    """The family that a trigger belongs to."""
    return next(family for family in FAMILIES.values() if family.trigger is type(trigger))


def strengthened(trigger: SyntheticTrigger) -> SyntheticTrigger:
    """Twice as much of a trigger.

    A search finds the least that a backdoor answers to. What was planted is often more of the
    same, and a model that unlearnt the least may still answer to more.
    """
    stronger: SyntheticTrigger = family_of(trigger).strengthened(trigger)
    return stronger
