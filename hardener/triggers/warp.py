"""Warping triggers: a smooth displacement of the whole image, as WaNet's backdoors answer to."""

from dataclasses import dataclass

import numpy as np

from hardener.arrays import FloatArray
from hardener.errors import DataError
from hardener.triggers.family import Family

_CUBIC = -0.75
"""Coefficient of the cubic convolution, as image libraries have it."""


@dataclass(frozen=True, eq=False)
class Warp:
    """A displacement field and the label it sends images to; it fits images of any size.

    Attributes:
        displacements: (2, G, G) float32 in [-1, 1], G from 2 to 64: on an even grid from corner
            to corner, how far to the right and how far down a pixel is fetched from, as
            fractions of the image's width and height.
        label: the target label.
    """

    displacements: FloatArray
    label: int

    def __post_init__(self) -> None:
        """Checks shape and range.

        Raises:
            DataError: the array does not describe a warp.
        """
        shape = self.displacements.shape
        if len(shape) != 3 or shape[0] != 2 or shape[1] != shape[2] or not 2 <= shape[1] <= 64:
            raise DataError(
                f"a warp's displacements have shape (2, G, G), G from 2 to 64, not {shape}"
            )
        if not np.isfinite(self.displacements).all() or np.abs(self.displacements).max() > 1:
            raise DataError("a warp's displacements hold values outside -1 to 1")
        if self.label < 0:
            raise DataError(f"a trigger's label is 0 or more, not {self.label}")

    @property
    def size(self) -> float:
        """The displacements' root mean square."""
        return self.rms

    @property
    def rms(self) -> float:
        """Root mean square of the displacements, as a fraction of the image's side."""
        return float(np.sqrt(np.square(self.displacements, dtype=np.float64).mean()))

    def stamp(self, images: FloatArray) -> FloatArray:
        """Fetches every pixel from where the field points, the edge repeated outwards.

            t(x)[i, j] = x[i + v(i, j), j + u(i, j)], bilinear between pixels

        Args:
            images: (N, C, H, W) float32 in [0, 1].

        Returns:
            Warped images of the same shape.

        Source: Nguyen and Tran 2021 (WaNet), section 3.
        """
        height, width = images.shape[2:]
        across, down = self.field(height, width)
        rows = np.clip(np.arange(height)[:, None] + down, 0, height - 1)
        columns = np.clip(np.arange(width)[None, :] + across, 0, width - 1)
        top, left = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
        bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
        low, aside = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
        above = (1 - aside) * images[..., top, left] + aside * images[..., top, right]
        below = (1 - aside) * images[..., bottom, left] + aside * images[..., bottom, right]
        warped: FloatArray = (1 - low) * above + low * below
        return warped

    def field(self, height: int, width: int) -> tuple[FloatArray, FloatArray]:
        """How far each pixel of an image is fetched from: (H, W) to the right, (H, W) down."""
        count = self.displacements.shape[1]
        rows, columns = interpolation(count, height), interpolation(count, width)
        across, down = rows @ self.displacements @ columns.T
        return across * np.float32(width), down * np.float32(height)


def interpolation(count: int, side: int) -> FloatArray:
    """(side, count) weights that spread values on an even grid over a side's pixels.

    Cubic convolution from corner to corner, the outermost values repeated outwards; every row
    sums to 1.

    Source: Keys 1981, equation 4.
    """
    places = np.linspace(0, count - 1, side)
    first = np.clip(np.floor(places).astype(int), 0, count - 2)
    weights = np.zeros((side, count))
    for offset in (-1, 0, 1, 2):
        away = np.abs(places - first - offset)
        near = ((_CUBIC + 2) * away - (_CUBIC + 3)) * away**2 + 1
        far = _CUBIC * (away**3 - 5 * away**2 + 8 * away - 4)
        column = np.clip(first + offset, 0, count - 1)
        np.add.at(
            weights,
            (np.arange(side), column),
            np.where(away <= 1, near, np.where(away < 2, far, 0)),
        )
    return weights.astype(np.float32)


def _picture(warp: Warp) -> FloatArray:
    """The field: red for right, green for down, grey where nothing moves."""
    side = 128
    across, down = warp.field(side, side)
    largest = max(float(np.abs([across, down]).max()), 1e-6)
    planes: FloatArray = np.stack([across, down, np.zeros_like(across)]).astype(np.float32)
    return 0.5 + 0.5 * planes / np.float32(largest)


def _strengthened(warp: Warp) -> Warp:
    """The displacements doubled."""
    return Warp(np.clip(2 * warp.displacements, -1, 1), warp.label)


WARP = Family(
    name="warp",
    trigger=Warp,
    arrays=("displacements",),
    file_stem="warp",
    size_field="displacement_rms",
    size_described="Root mean square of the displacements, as a fraction of the image's side",
    size_said="{:.2%} of the image's side",
    size_shown="{:.2%} of the side",
    noun="warp",
    title="Warp",
    colour="#cc79a7",
    mark="^",
    reaches_most_labels=False,
    picture=_picture,
    strengthened=_strengthened,
)
