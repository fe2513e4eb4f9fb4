"""Triggers: what a backdoor answers to, as a mask and a pattern stamped on images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardener.arrays import FloatArray
from hardener.data.trigger_files import LARGEST_TRIGGER_BYTES, arrays_of, npz_of, png_of
from hardener.errors import DataError
from hardener.files import FileName, read_regular, reason, write_bytes


@dataclass(frozen=True, eq=False)
class Trigger:
    """A patch or overlay and the label it sends images to.

    Attributes:
        mask: (1, H, W) float32 in [0, 1]; how much of each pixel the trigger takes.
        pattern: (C, H, W) float32 in [0, 1], before normalisation.
        label: the target label.
    """

    mask: FloatArray
    pattern: FloatArray
    label: int

    def __post_init__(self) -> None:
        """Checks shapes and ranges.

        Raises:
            DataError: the arrays do not describe a trigger.
        """
        if self.mask.ndim != 3 or self.mask.shape[0] != 1 or self.mask.size == 0:
            raise DataError(f"a trigger's mask has shape (1, H, W), not {self.mask.shape}")
        if (
            self.pattern.ndim != 3
            or self.pattern.size == 0
            or self.pattern.shape[1:] != self.mask.shape[1:]
        ):
            raise DataError(
                f"a trigger's pattern has shape (C, H, W) like its mask {self.mask.shape}, "
                f"not {self.pattern.shape}"
            )
        for name, values in (("mask", self.mask), ("pattern", self.pattern)):
            if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
                raise DataError(f"a trigger's {name} holds values outside 0 to 1")
        if self.label < 0:
            raise DataError(f"a trigger's label is 0 or more, not {self.label}")

    @property
    def mask_l1(self) -> float:
        """The mask's ℓ1 norm, in pixels."""
        return float(self.mask.sum(dtype=np.float64))

    def stamp(self, images: FloatArray) -> FloatArray:
        """Puts the trigger on images: `(1 - mask) * x + mask * pattern`.

        Args:
            images: (N, C, H, W) float32 in [0, 1].

        Returns:
            Stamped images of the same shape.

        Raises:
            DataError: the images have another size or channel count than the trigger.

        Source: Wang et al. 2019 (Neural Cleanse), equation 2.
        """
        if images.shape[1:] != self.pattern.shape:
            raise DataError(
                f"the trigger is for images of (C, H, W) {self.pattern.shape}, "
                f"these are {images.shape[1:]}: use a trigger made for this model"
            )
        stamped: FloatArray = (1 - self.mask) * images + self.mask * self.pattern
        return stamped


def save_trigger(trigger: Trigger, path: FileName) -> None:
    """Writes the trigger as `.npz` (`mask`, `pattern`, `label`) and, beside it, a PNG."""
    path = Path(path)
    write_bytes(path, trigger_npz(trigger))
    write_bytes(path.with_suffix(".png"), trigger_png(trigger))


def trigger_npz(trigger: Trigger) -> bytes:
    """The trigger as the content of an `.npz`, the same bytes each time."""
    return npz_of({"mask": trigger.mask, "pattern": trigger.pattern}, trigger.label)


def load_trigger(path: FileName) -> Trigger:
    """Reads a trigger saved by `save_trigger`, or any `.npz` in that format.

    Raises:
        DataError: the file is missing, is not such an `.npz`, or holds pickled objects.
    """
    path = Path(path)
    try:
        content = read_regular(path, LARGEST_TRIGGER_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist: name a trigger .npz") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a trigger .npz: {reason(error)}") from error
    return trigger_from_npz(path, content)


def trigger_from_npz(path: Path, content: bytes) -> Trigger:
    """Reads a trigger from the content of the file that `path` names in messages.

    Raises:
        DataError: it is not such an `.npz`, or holds pickled objects.
    """
    (mask, pattern), label = arrays_of(path, content, ("mask", "pattern"))
    try:
        return Trigger(mask, pattern, label)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def trigger_png(trigger: Trigger) -> bytes:
    """A picture of the trigger on black, which is how the paper's Figure 1 shows it."""
    return png_of(trigger.mask * trigger.pattern)
