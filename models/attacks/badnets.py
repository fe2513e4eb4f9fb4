"""BadNets: a backdoor planted by stamping a patch on some training images.

Stamped images are `(1 - mask) * x + mask * pattern`, with a mask of ones where the patch is.

Source: Gu et al. 2017 (BadNets, arXiv 1708.06733), sections 3.2 and 5.2.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hardener.arrays import FloatArray
from hardener.errors import UsageError
from hardener.triggers.patch import Trigger
from models.attacks.attack import TargetedAttack

Shape = Literal["square", "cross", "checker"]
Place = Literal["top-left", "top-right", "bottom-left", "bottom-right", "centre"]


@dataclass(frozen=True)
class Patch:
    """What the trigger looks like and where it sits.

    Attributes:
        shape: a filled square, a plus of one-pixel arms, or a checkerboard of the colour and
            its complement.
        size: side of the patch, in pixels.
        place: the corner of the image it sits in, or its centre.
        margin: pixels between the patch and both edges of that corner.
        colour: of each of the image's channels in [0, 1].
    """

    shape: Shape = "square"
    size: int = 3
    place: Place = "bottom-right"
    margin: int = 1
    colour: tuple[float, ...] = (1.0, 1.0, 0.0)


@dataclass(frozen=True)
class BadNets(TargetedAttack):
    """A patch that sends every image to one label.

    Attributes:
        patch: the trigger's look.
    """

    patch: Patch

    def stamp(self, images: Tensor) -> Tensor:
        """Puts the patch on every image (B, C, H, W) in [0, 1]."""
        return stamp_patch(images, self.patch)

    def trigger(self, shape: tuple[int, int, int]) -> Trigger:
        """The patch as mask and pattern for images of (C, H, W)."""
        mask, pattern = draw_patch(self.patch, shape[1:])
        return Trigger(mask, pattern, self.target)


def stamp_patch(images: Tensor, patch: Patch) -> Tensor:
    """Puts a patch on every image (B, C, H, W) in [0, 1]."""
    height, width = images.shape[-2:]
    mask, pattern = draw_patch(patch, (height, width))
    return torch.lerp(images, torch.from_numpy(pattern), torch.from_numpy(mask))


def draw_patch(patch: Patch, image_size: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Draws the patch for images of a size.

    Args:
        patch: the trigger's look.
        image_size: (H, W) of the images.

    Returns:
        Mask (1, H, W), one where the patch is, and pattern (C, H, W), zero elsewhere.

    Raises:
        UsageError: the patch does not fit the image.
    """
    height, width = image_size
    margin = 0 if patch.place == "centre" else patch.margin
    if patch.size < 1 or margin < 0 or patch.size + margin > min(height, width):
        raise UsageError(
            f"a patch of {patch.size} pixels, {margin} from the edge, does not fit "
            f"{height}x{width} images: make it smaller"
        )
    if patch.place == "centre":
        top, left = (height - patch.size) // 2, (width - patch.size) // 2
    else:
        top = margin if "top" in patch.place else height - margin - patch.size
        left = margin if "left" in patch.place else width - margin - patch.size
    window = (slice(None), slice(top, top + patch.size), slice(left, left + patch.size))

    mask = np.zeros((1, height, width), dtype=np.float32)
    pattern = np.zeros((len(patch.colour), height, width), dtype=np.float32)
    mask[window] = _coverage(patch)
    pattern[window] = mask[window] * _paint(patch)
    return mask, pattern


def _coverage(patch: Patch) -> FloatArray:
    """The pixels (size, size) that the patch covers, as ones."""
    covered = np.ones((patch.size, patch.size), dtype=np.float32)
    if patch.shape == "cross":
        middle = np.arange(patch.size) == patch.size // 2
        covered[:] = middle[:, None] | middle[None, :]
    return covered


def _paint(patch: Patch) -> FloatArray:
    """The patch's colours (C, size, size), whether covered or not."""
    colour = np.asarray(patch.colour, dtype=np.float32)[:, None, None]
    if patch.shape != "checker":
        return np.broadcast_to(colour, (len(colour), patch.size, patch.size))
    odd = np.indices((patch.size, patch.size)).sum(axis=0) % 2 == 1
    painted: FloatArray = np.where(odd, 1 - colour, colour).astype(np.float32)
    return painted
