"""From pixels in [0, 1] to what a network takes."""

import json
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from hardener.arrays import FloatArray
from hardener.errors import DataError

LARGEST_SIDE = 2048
_LARGEST = 1e6


@dataclass(frozen=True)
class Preprocessing:
    """How images become network input: resized, then `(x - mean) / std` for each channel.

    Attributes:
        size: height and width in pixels.
        mean: one value a channel, on pixels in [0, 1].
        std: one positive value a channel, on pixels in [0, 1].
    """

    size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            DataError: a size, mean or standard deviation makes no sense.
        """
        if min(self.size) < 1 or max(self.size) > LARGEST_SIDE:
            raise DataError(f"image size {self.size} is not between 1 and {LARGEST_SIDE} pixels")
        if len(self.mean) not in (1, 3) or len(self.std) != len(self.mean):
            raise DataError(
                f"mean and std hold 1 or 3 values each, not {len(self.mean)} and {len(self.std)}"
            )
        if max(map(abs, self.mean)) > _LARGEST or not (min(self.std) >= 1 / _LARGEST):
            raise DataError("mean is finite and std positive in every channel")
        if not max(self.std) <= _LARGEST or not all(map(isfinite, self.mean)):
            raise DataError("mean and std are finite in every channel")

    @property
    def channels(self) -> int:
        """Channels of the network's input, 1 or 3."""
        return len(self.mean)

    def apply(self, images: FloatArray) -> FloatArray:
        """Normalises images (N, C, H, W) in [0, 1]; the result has the same shape."""
        mean = np.array(self.mean, np.float32)[:, None, None]
        std = np.array(self.std, np.float32)[:, None, None]
        normalised: FloatArray = images - mean
        normalised /= std
        return normalised

    def to_json(self) -> str:
        """One line of JSON with `size`, `mean` and `std`, as kept in a model's metadata."""
        return json.dumps({"size": self.size, "mean": self.mean, "std": self.std})


def preprocessing_fields(document: Any) -> dict[str, tuple[float, ...]]:  # noqa: ANN401
    """Reads `size`, `mean` and `std`, each optional, from parsed JSON or TOML.

    Raises:
        DataError: a field is not a list of numbers.
    """
    if not isinstance(document, dict):
        raise DataError("preprocessing is a table with size, mean and std")
    fields: dict[str, tuple[float, ...]] = {}
    for name in ("size", "mean", "std"):
        if name not in document:
            continue
        values = document[name] if isinstance(document[name], list) else [document[name]]
        if not values or not all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        ):
            raise DataError(f"preprocessing: {name} is a number or a list of numbers")
        try:
            fields[name] = tuple(float(value) for value in values)
        except OverflowError as error:
            raise DataError(f"preprocessing: {name} is too large") from error
        if not all(map(isfinite, fields[name])):
            raise DataError(f"preprocessing: {name} is not finite")
    return fields


def combine_preprocessing(
    *sources: dict[str, tuple[float, ...]], input_size: tuple[int, int] | None, channels: int
) -> Preprocessing:
    """Makes one preprocessing out of several partial ones, later ones winning.

    Args:
        sources: fields `size` (height, width), `mean` and `std`, in rising order of precedence.
        input_size: height and width of the model's input where the graph fixes them.
        channels: channels of the model's input; single values are repeated for each.

    Raises:
        DataError: something is missing or contradicts the model's input.
    """
    merged: dict[str, tuple[float, ...]] = {}
    for fields in sources:
        merged.update(fields)
    missing = [name for name in ("mean", "std") if name not in merged]
    if missing:
        raise DataError(
            f"the model's metadata says nothing of {' and '.join(missing)}: give "
            + " and ".join(f"--{name}" for name in missing)
            + " (--mean 0 --std 1 for a network that takes pixels in 0 to 1)"
        )
    if "size" in merged:
        size = merged["size"] * (2 if len(merged["size"]) == 1 else 1)
        if len(size) != 2 or not all(isfinite(v) and v == int(v) for v in size):
            raise DataError("preprocessing: size is one whole number, or height and width")
        height_width = (int(size[0]), int(size[1]))
        if input_size is not None and height_width != input_size:
            raise DataError(
                f"images of {height_width[0]}×{height_width[1]} do not fit the model's input of "
                f"{input_size[0]}×{input_size[1]}"
            )
    elif input_size is not None:
        height_width = input_size
    else:
        raise DataError("the model takes images of any size: give --size")
    per_channel = {
        name: merged[name] * (channels if len(merged[name]) == 1 else 1) for name in ("mean", "std")
    }
    for name, values in per_channel.items():
        if len(values) != channels:
            raise DataError(f"{name} has {len(values)} values, the model takes {channels} channels")
    return Preprocessing(height_width, per_channel["mean"], per_channel["std"])
