"""How long work tells how far it is, without knowing who listens."""

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the stage's name, how much is done and how much there is in all."""


def silent(_stage: str, _done: int, _total: int) -> None:
    """Listens to nothing."""


def counting(progress: Progress, stage: str, total: int) -> Callable[[int], None]:
    """Turns a stage into a function that is told each further amount done."""
    done = 0

    def advance(amount: int) -> None:
        nonlocal done
        done += amount
        progress(stage, done, total)

    progress(stage, 0, total)
    return advance
