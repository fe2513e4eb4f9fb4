import numpy as np
import pytest

from hardener.data.preprocessing import (
    Preprocessing,
    combine_preprocessing,
    preprocessing_fields,
)
from hardener.errors import DataError


def test_pixels_are_normalised_channel_by_channel() -> None:
    preprocessing = Preprocessing((1, 1), (0.5, 0.0, 0.25), (0.5, 1.0, 0.25))
    found = preprocessing.apply(np.full((1, 3, 1, 1), 0.75, np.float32))
    assert found.dtype == np.float32
    assert found.ravel().tolist() == [0.5, 0.75, 2.0]


def test_later_sources_win_and_single_values_spread() -> None:
    found = combine_preprocessing(
        {"mean": (0.1,), "std": (1.0,)}, {"mean": (0.2,)}, input_size=(4, 5), channels=3
    )
    assert found == Preprocessing((4, 5), (0.2, 0.2, 0.2), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ({}, (4, 4), "give --mean and --std"),
        ({"mean": (0.0,)}, (4, 4), "give --std"),
        ({"mean": (0.0,), "std": (1.0,)}, None, "give --size"),
        ({"mean": (0.0,), "std": (1.0,), "size": (5.0,)}, (4, 4), "do not fit the model's input"),
        ({"mean": (0.0,), "std": (1.0,), "size": (4.5,)}, None, "whole number"),
        ({"mean": (0.0, 0.0), "std": (1.0,)}, (4, 4), "mean has 2 values"),
        ({"mean": (0.0,), "std": (0.0,)}, (4, 4), "std positive"),
        ({"mean": (float("nan"),), "std": (1.0,)}, (4, 4), "finite"),
        ({"mean": (0.0,), "std": (1.0,), "size": (9000.0,)}, None, "2048"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    fields: dict[str, tuple[float, ...]], size: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        combine_preprocessing(fields, input_size=size, channels=3)


@pytest.mark.parametrize("document", [[], {"mean": "x"}, {"std": []}, {"size": [True]}])
def test_documents_that_hold_no_numbers(document: object) -> None:
    with pytest.raises(DataError):
        preprocessing_fields(document)
