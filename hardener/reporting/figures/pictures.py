"""Pictures side by side, as original and synthetic triggers (paper, figure 1)."""

from collections.abc import Sequence

import numpy as np

from hardener.arrays import FloatArray
from hardener.errors import DataError
from hardener.reporting.drawing import Drawn, new_figure

_SIDE = 1.7


def pictures(shown: Sequence[tuple[str, FloatArray]], title: str) -> Drawn:
    """Draws pictures in one row, each with its caption.

    Args:
        shown: captions and pictures (C, H, W) in [0, 1], of one or three channels.
        title: what they are.

    Raises:
        DataError: there are none.
    """
    if not shown:
        raise DataError("there are no pictures to draw")
    with new_figure(_SIDE * len(shown), _SIDE + 0.5) as figure:
        axes = figure.subplots(1, len(shown), squeeze=False)[0]
        for axis, (caption, picture) in zip(axes, shown, strict=True):
            pixels = np.moveaxis(np.broadcast_to(picture, (3, *picture.shape[1:])), 0, -1)
            axis.imshow(pixels, vmin=0, vmax=1, interpolation="none")
            axis.set_axis_off()
            axis.set_title(caption, fontsize=8, parse_math=False)
    return Drawn(
        "pictures",
        title,
        "; ".join(caption.replace("\n", ", ") for caption, _ in shown) + ".",
        figure,
    )
