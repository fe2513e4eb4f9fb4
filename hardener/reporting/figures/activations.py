"""Activation maps of all channels, without and with the trigger (paper, figure 3)."""

from collections.abc import Sequence
from math import ceil, sqrt

import numpy as np
from matplotlib.patches import Rectangle

from hardener.arrays import FloatArray
from hardener.data.settings import CLEAN
from hardener.errors import DataError
from hardener.reporting.drawing import ORANGE, Drawn, new_figure
from hardener.reporting.model_views import ModelView, triggered_setting

_LARGEST_SIDE = 640
"""Pixels of all maps side by side: more would not be seen and make pages large."""


def activation_maps(view: ModelView, flagged: Sequence[int], flag: str) -> Drawn:
    """Every channel's map of one image, clean and triggered, on one colour scale.

    Args:
        view: what a model shows.
        flagged: channels to frame.
        flag: what the frame says of them, as "pruned".

    Raises:
        DataError: the feature layer has no maps.
    """
    if not view.maps:
        raise DataError("the feature layer has no activation maps to draw")
    triggered = triggered_setting(list(view.maps))
    columns = ceil(sqrt(len(view.maps[CLEAN])))
    shown = [
        (name, reduced(view.maps[name], max(1, _LARGEST_SIDE // columns)))
        for name in (CLEAN, triggered)
    ]
    most = max(float(maps.max()) for _, maps in shown)
    least = min(0.0, *(float(maps.min()) for _, maps in shown))
    channels, height, width = shown[0][1].shape
    with new_figure(7.2, 4.2) as figure:
        axes = figure.subplots(1, len(shown))
        for axis, (name, maps) in zip(axes, shown, strict=True):
            drawn = axis.imshow(
                tiled(maps, columns), cmap="viridis", vmin=least, vmax=most, interpolation="none"
            )
            for channel in flagged:
                row, column = divmod(channel, columns)
                corner = (column * (width + 1) - 0.5, row * (height + 1) - 0.5)
                frame = Rectangle(corner, width, height, fill=False, edgecolor=ORANGE, linewidth=1)
                axis.add_patch(frame)
            axis.set_axis_off()
            axis.set_title(name, fontsize=10)
        bar = figure.colorbar(drawn, ax=axes, orientation="horizontal", shrink=0.5, aspect=40)
        bar.set_label("activation")
    example = view.examples[0]
    described = (
        f"All {channels} channels of {view.layer} on image {example.position}, row by row from "
        f"channel 0; framed: {_some(flagged)} ({flag}). The largest activation is "
        f"{float(shown[0][1].max()):.2f} clean and {float(shown[1][1].max()):.2f} with the trigger."
    )
    return Drawn("activations", "Activations of every channel", described, figure)


def reduced(maps: FloatArray, most: int) -> FloatArray:
    """Maps (channels, h, w) with sides of at most `most`: of each block of values the largest."""
    channels, height, width = maps.shape
    block = -(-max(height, width) // most)
    rows, columns = -(-height // block), -(-width // block)
    filled = np.full((channels, rows * block, columns * block), -np.inf, maps.dtype)
    filled[:, :height, :width] = maps
    whole: FloatArray = filled.reshape(channels, rows, block, columns, block).max(axis=(2, 4))
    return whole


def tiled(maps: FloatArray, columns: int) -> FloatArray:
    """Maps (channels, h, w) in rows of so many, one empty line (NaN) between them."""
    channels, height, width = maps.shape
    rows = -(-channels // columns)
    tiles = np.full((rows * columns, height + 1, width + 1), np.nan, np.float32)
    tiles[:channels, :-1, :-1] = maps
    laid = tiles.reshape(rows, columns, height + 1, width + 1).swapaxes(1, 2)
    whole: FloatArray = laid.reshape(rows * (height + 1), columns * (width + 1))[:-1, :-1]
    return whole


def _some(channels: Sequence[int]) -> str:
    if not channels:
        return "none"
    named = ", ".join(map(str, list(channels)[:10]))
    left = len(channels) - 10
    return f"channels {named} and {left} more" if left > 0 else f"channels {named}"
