"""What a scan needs to know of a detector: one record, which only its table lists."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hardener.scanning.finding import Finding
from hardener.scanning.look import Look


def _no_costs(_: Look) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True)
class Detector:
    """Something that looks at a model for one kind of sign of a backdoor.

    Attributes:
        run: looks.
        looks_for: kinds of attack, of those that `looked_for.py` names.
        needs_images: whether it has nothing to look at without clean images.
        costs: of each of its stages, by the name that progress has for it, about how many images
            go through the network once.
    """

    run: Callable[[Look], Finding]
    looks_for: tuple[str, ...] = ()
    needs_images: bool = True
    costs: Callable[[Look], Mapping[str, float]] = _no_costs
