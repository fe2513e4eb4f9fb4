"""Measured rates and ratios with their intervals."""

from hardener.frozen import Frozen


class Rate(Frozen):
    """A fraction of images in [0, 1] with its 95 % interval (Wilson score)."""

    value: float
    low: float
    high: float
    n: int
    """How many images it is a fraction of."""


class Ratio(Frozen):
    """A ratio with its 95 % interval."""

    value: float
    low: float
    high: float
