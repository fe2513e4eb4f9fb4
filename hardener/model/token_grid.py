"""Which of a feature layer's positions lie on the image's grid."""

from collections.abc import Sequence
from math import isqrt

from hardener.errors import ModelError

_MOST_TOKENS_BEFORE = 5
"""A class token and four registers."""


def grid_of(positions: Sequence[int]) -> tuple[int, int, int]:
    """How many tokens stand before the grid, its height and its width.

    Args:
        positions: sizes of the axes that count neither images nor channels: height and width,
            or tokens, which lie on a square.

    Raises:
        ModelError: they form no grid.
    """
    if len(positions) == 2:
        return 0, positions[0], positions[1]
    if len(positions) == 1 and positions[0]:
        side = isqrt(positions[0])
        before = positions[0] - side * side
        if before <= _MOST_TOKENS_BEFORE and before < side:
            return before, side, side
    raise ModelError(f"the feature layer's positions {tuple(positions)} form no grid")
