"""Triggers: what a backdoor answers to, as a mask and a pattern stamped on images."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np

from hardener.arrays import BoolArray, FloatArray
from hardener.errors import DataError
from hardener.files import FileName, read_regular, reason, write_bytes
from hardener.triggers.arrays_on_disk import LARGEST_TRIGGER_BYTES
from hardener.triggers.family import Family

Planes = TypeVar("Planes", FloatArray, BoolArray)

_NEIGHBOURS = tuple(product((0, -1, 1), repeat=2))
_FAINTEST = 0.1
"""Of a mask: what takes less of a pixel is no place of the trigger."""
_AROUND = 16


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
    def size(self) -> float:
        """The mask's ℓ1 norm."""
        return self.mask_l1

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
    write_bytes(path, PATCH.npz(trigger))
    write_bytes(path.with_suffix(".png"), PATCH.png(trigger))


def solid_square(
    colour: FloatArray,
    size: tuple[int, int],
    corner: tuple[int, int],
    side: int,
    label: int = 0,
) -> Trigger:
    """A square as a trigger.

    Args:
        colour: (C,) in [0, 1].
        size: (H, W) of the images.
        corner: its upper row and left column.
        side: its length, in pixels.
        label: where it sends images; without meaning where labels are exchanged.
    """
    mask = np.zeros((1, *size), np.float32)
    mask[:, corner[0] : corner[0] + side, corner[1] : corner[1] + side] = 1
    return Trigger(mask, colour[:, None, None] * mask, label)


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
    return PATCH.from_npz(path, content)


def _strengthened(trigger: Trigger) -> Trigger:
    """A patch a pixel larger all around, twice as opaque, its colours driven to black or white.

    Every pixel takes mask and colour of the strongest among itself and its neighbours.
    """
    mask, pattern = np.zeros_like(trigger.mask), trigger.pattern.copy()
    for by in _NEIGHBOURS:
        beside, colours = _moved(trigger.mask, *by), _moved(trigger.pattern, *by)
        stronger = beside > mask
        mask = np.where(stronger, beside, mask)
        pattern = np.where(stronger, colours, pattern)
    saturated: FloatArray = (pattern > 0.5).astype(np.float32)
    return Trigger(np.minimum(2 * mask, 1).astype(np.float32), saturated, trigger.label)


def _own_look(trigger: Trigger, image: FloatArray, label: int) -> Trigger:
    """The image where the patch is, and around it: a sixteenth of the larger side on each side."""
    place = trigger.mask > _FAINTEST
    for _ in range(max(1, max(trigger.mask.shape) // _AROUND)):
        place = np.logical_or.reduce([_moved(place, *by) for by in _NEIGHBOURS])
    return Trigger(place.astype(np.float32), image, label)


def _moved(planes: Planes, down: int, across: int) -> Planes:
    """Planes (C, H, W) moved by at most a pixel, the edge repeated outwards."""
    height, width = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    top, left = 1 - down, 1 - across
    return padded[:, top : top + height, left : left + width]


PATCH = Family(
    name="patch",
    trigger=Trigger,
    arrays=("mask", "pattern"),
    file_stem="label",
    size_field="mask_l1",
    size_described="Size of the smallest patch, in pixels",
    size_said="{:.1f} pixels",
    size_shown="{:.1f} pixels",
    noun="trigger",
    title="Patch",
    colour="#0072b2",
    mark="o",
    reaches_most_labels=True,
    # On black, which is how the paper's Figure 1 shows it.
    picture=lambda trigger: trigger.mask * trigger.pattern,
    strengthened=_strengthened,
    own_look=_own_look,
)
