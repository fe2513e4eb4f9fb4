"""Positions that lie on a grid, and those that do not."""

import pytest

from hardener.errors import ModelError
from hardener.model.token_grid import grid_of


@pytest.mark.parametrize(
    ("positions", "grid"),
    [
        ((6, 9), (0, 6, 9)),
        ((196,), (0, 14, 14)),
        ((197,), (1, 14, 14)),
        ((201,), (5, 14, 14)),
        ((1,), (0, 1, 1)),
    ],
)
def test_maps_and_squares_of_tokens_form_a_grid(
    positions: tuple[int, ...], grid: tuple[int, int, int]
) -> None:
    assert grid_of(positions) == grid


@pytest.mark.parametrize("positions", [(202,), (8,), (2,), (0,), (), (4, 4, 4)])
def test_others_form_none(positions: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="form no grid"):
        grid_of(positions)
