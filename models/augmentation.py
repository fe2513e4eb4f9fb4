"""Random geometry and light for a whole batch at once.

Signs are not mirrored: a flip turns one class into another (keep left, keep right).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Augmentation:
    """How far each property of an image may move, either way.

    Attributes:
        shift: translation along each axis, in pixels.
        scale: relative change of size.
        stretch: relative change of width against height.
        rotation: angle in degrees.
        shear: slant in degrees.
        contrast: natural logarithm of the factor around the image's mean.
        brightness: natural logarithm of the factor on the image's mean.
        offset: what is added to every pixel.
        mirror: whether every other image, at random, is turned left to right.
    """

    shift: float = 3.0
    scale: float = 0.12
    stretch: float = 0.05
    rotation: float = 12.0
    shear: float = 0.0
    contrast: float = 0.35
    brightness: float = 0.35
    offset: float = 0.08
    mirror: bool = False


def augment(images: Tensor, limits: Augmentation, generator: torch.Generator) -> Tensor:
    """Moves, turns, scales and relights each image by its own random amounts.

    Args:
        images: (B, C, H, W) float32 in [0, 1].
        limits: how far each property may move.
        generator: the source of randomness.

    Returns:
        New images of the same shape in [0, 1].
    """
    return relight(move(images, limits, generator), limits, generator)


def move(images: Tensor, limits: Augmentation, generator: torch.Generator) -> Tensor:
    """Applies a random affine map to each image; the edge is repeated outwards."""
    count, _, height, width = images.shape

    def draw(limit: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * limit

    angle = draw(math.radians(limits.rotation))
    slant = draw(math.radians(limits.shear))
    tall = 1 + draw(limits.scale)
    wide = tall * (1 + draw(limits.stretch))
    # affine_grid counts in half images.
    across, down = draw(2 * limits.shift / width), draw(2 * limits.shift / height)
    rows = (
        torch.stack((angle.cos() * wide, -(angle + slant).sin() * tall, across), dim=1),
        torch.stack((angle.sin() * wide, (angle + slant).cos() * tall, down), dim=1),
    )
    maps = torch.stack(rows, dim=1)
    if limits.mirror:
        side = torch.randint(2, (count, 1), generator=generator) * 2 - 1
        maps[:, :, 0] *= side
    grid = functional.affine_grid(maps, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def relight(images: Tensor, limits: Augmentation, generator: torch.Generator) -> Tensor:
    """Changes contrast around each image's mean, that mean, and the black level."""

    def draw(limit: float) -> Tensor:
        return (torch.rand(len(images), 1, 1, 1, generator=generator) * 2 - 1) * limit

    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrast, brightness = draw(limits.contrast).exp(), draw(limits.brightness).exp()
    relit = (images - mean) * contrast + mean * brightness + draw(limits.offset)
    return relit.clamp(0, 1)
