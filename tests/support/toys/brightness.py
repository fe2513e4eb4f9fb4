"""Triggers that brighten a whole image: a toy family."""

from dataclasses import dataclass

import numpy as np

from hardener.arrays import FloatArray
from hardener.triggers.family import Family


@dataclass(frozen=True, eq=False)
class Brightness:
    """A shift (C, 1, 1) of every pixel, and the label it sends images to."""

    shift: FloatArray
    label: int

    @property
    def size(self) -> float:
        """Largest shift of a channel."""
        return float(np.abs(self.shift).max())

    def stamp(self, images: FloatArray) -> FloatArray:
        """Shifts images (N, C, H, W) and clips them."""
        stamped: FloatArray = np.clip(images + self.shift, 0, 1)
        return stamped


BRIGHTNESS = Family(
    name="brightness",
    trigger=Brightness,
    arrays=("shift",),
    file_stem="brightness",
    size_field="largest_shift",
    size_described="Largest shift of a channel, on pixels in [0, 1]",
    size_said="a shift of {:.2f}",
    size_shown="shift {:.2f}",
    noun="brightness trigger",
    title="Brightness",
    colour="#cc79a7",
    mark="D",
    reaches_most_labels=False,
    picture=lambda trigger: np.broadcast_to(0.5 + trigger.shift / 2, (len(trigger.shift), 8, 8)),
    strengthened=lambda trigger: Brightness(np.clip(2 * trigger.shift, -1, 1), trigger.label),
)
