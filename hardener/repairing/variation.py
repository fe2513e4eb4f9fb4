"""Small changes of place and light, so that few clean images teach more."""

import numpy as np

from hardener.arrays import FloatArray

SHIFT_FRACTION = 1 / 16
"""Of the shorter side: how far an image moves at most, along each axis."""

LIGHT = 0.2
"""Largest natural logarithm of the factors on contrast and on brightness."""


def varied(images: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Moves and relights each image by its own random amounts.

    Pixels are moved by whole numbers and the edge is repeated outwards; contrast changes around
    the image's mean, then that mean.

    Args:
        images: (N, C, H, W) float32 in [0, 1]; they stay as they are.
        rng: the source of randomness.

    Returns:
        New images of the same shape in [0, 1].
    """
    count, _, height, width = images.shape
    most = round(SHIFT_FRACTION * min(height, width))
    padded = np.pad(images, ((0, 0), (0, 0), (most, most), (most, most)), mode="edge")
    down, across = rng.integers(0, 2 * most + 1, (2, count))
    moved = np.stack(
        [
            image[:, top : top + height, left : left + width]
            for image, top, left in zip(padded, down, across, strict=True)
        ]
    )
    contrast, brightness = np.exp(rng.uniform(-LIGHT, LIGHT, (2, count, 1, 1, 1)))
    mean = moved.mean(axis=(1, 2, 3), keepdims=True)
    relit: FloatArray = ((moved - mean) * contrast + mean * brightness).clip(0, 1)
    return relit.astype(np.float32)
