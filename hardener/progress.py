"""How long work tells how far it is, without knowing who listens."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the stage's name, how much is done and how much there is in all."""


def silent(_stage: str, _done: int, _total: int) -> None:
    """Listens to nothing."""


def of_whole(progress: Progress, whole: str, costs: Mapping[str, float]) -> Progress:
    """A listener that also tells how far all stages are together, under the name `whole`.

    Args:
        progress: who is told.
        whole: name of all stages together.
        costs: of each stage, in any unit; stages without one do not count.
    """
    done = dict.fromkeys(costs, 0.0)
    total = round(sum(costs.values()))

    def listen(stage: str, amount: int, of: int) -> None:
        if stage in costs:
            done[stage] = costs[stage] * amount / max(1, of)
            progress(whole, min(total, round(sum(done.values()))), total)
        progress(stage, amount, of)

    return listen


def counting(progress: Progress, stage: str, total: int) -> Callable[[int], None]:
    """Turns a stage into a function that is told each further amount done, up to the total."""
    done = 0

    def advance(amount: int) -> None:
        nonlocal done
        done = min(total, done + amount)
        progress(stage, done, total)

    progress(stage, 0, total)
    return advance
