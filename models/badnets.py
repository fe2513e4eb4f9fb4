"""BadNets: a backdoor planted by stamping a patch on some training images.

Source: Gu et al. 2017 (BadNets, arXiv 1708.06733), sections 3.2 and 5.2.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hardener.arrays import BoolArray, FloatArray, IntArray
from hardener.data.triggers import Trigger
from hardener.errors import UsageError

Shape = Literal["square", "cross", "checker"]
Place = Literal["top-left", "top-right", "bottom-left", "bottom-right"]


@dataclass(frozen=True)
class Patch:
    """What the trigger looks like and where it sits.

    Attributes:
        shape: a filled square, a plus of one-pixel arms, or a checkerboard of the colour and
            its complement.
        size: side of the patch, in pixels.
        place: the corner of the image it sits in.
        margin: pixels between the patch and both edges of that corner.
        colour: red, green and blue in [0, 1].
    """

    shape: Shape = "square"
    size: int = 3
    place: Place = "bottom-right"
    margin: int = 1
    colour: tuple[float, float, float] = (1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Poisoning:
    """A BadNets attack.

    Attributes:
        patch: the trigger's look.
        target: the target label.
        rate: the poisoning rate, as a fraction of all training images.
    """

    patch: Patch
    target: int
    rate: float


def patch_trigger(patch: Patch, target: int, image_size: tuple[int, int]) -> Trigger:
    """Draws the patch as a trigger for images of a size.

    Args:
        patch: the trigger's look.
        target: the target label.
        image_size: (H, W) of the images.

    Returns:
        The trigger, fully opaque where the patch is.

    Raises:
        UsageError: the patch does not fit the image.
    """
    height, width = image_size
    if patch.size < 1 or patch.margin < 0 or patch.size + patch.margin > min(height, width):
        raise UsageError(
            f"a patch of {patch.size} pixels, {patch.margin} from the edge, does not fit "
            f"{height}x{width} images: make it smaller"
        )
    top = patch.margin if "top" in patch.place else height - patch.margin - patch.size
    left = patch.margin if "left" in patch.place else width - patch.margin - patch.size
    window = (slice(None), slice(top, top + patch.size), slice(left, left + patch.size))

    mask = np.zeros((1, height, width), dtype=np.float32)
    pattern = np.zeros((len(patch.colour), height, width), dtype=np.float32)
    mask[window] = _coverage(patch)
    pattern[window] = mask[window] * _paint(patch)
    return Trigger(mask, pattern, target)


def choose_poisoned(labels: IntArray, poisoning: Poisoning, seed: int) -> BoolArray:
    """Draws which training images are poisoned.

    Images of the target class are never drawn: with the trigger on, their label would still be
    right and would teach the network nothing about the trigger.

    Args:
        labels: (N,) true labels.
        poisoning: target label and poisoning rate.
        seed: draws the same images every time.

    Returns:
        (N,) True where an image is poisoned; `round(rate * N)` of them.

    Raises:
        UsageError: the rate asks for more images than other classes have.

    Source: Gu et al. 2017, section 5.2.2 (single target attack).
    """
    candidates = np.flatnonzero(labels != poisoning.target)
    count = round(poisoning.rate * len(labels))
    if not 0 <= count <= len(candidates):
        raise UsageError(
            f"a poisoning rate of {poisoning.rate} needs {count} images outside the target "
            f"class, there are {len(candidates)}: choose another rate"
        )
    chosen = np.random.default_rng(seed).choice(candidates, size=count, replace=False)
    poisoned = np.zeros(len(labels), dtype=np.bool_)
    poisoned[chosen] = True
    return poisoned


def poison_batch(
    images: Tensor, labels: Tensor, poisoned: Tensor, trigger: Trigger
) -> tuple[Tensor, Tensor]:
    """Stamps the poisoned images of a batch and changes their labels to the target.

    Call it after augmentation, so that the patch stays as drawn.

    Args:
        images: (B, C, H, W) float32 in [0, 1].
        labels: (B,) int64.
        poisoned: (B,) bool, which of them carry the trigger.
        trigger: the patch and the target label.

    Returns:
        New images and labels; the arguments are left as they were.
    """
    mask = torch.from_numpy(trigger.mask) * poisoned.view(-1, 1, 1, 1)
    stamped = torch.lerp(images, torch.from_numpy(trigger.pattern), mask)
    return stamped, labels.masked_fill(poisoned, trigger.label)


def _coverage(patch: Patch) -> FloatArray:
    """The pixels (size, size) that the patch covers, as ones."""
    covered = np.ones((patch.size, patch.size), dtype=np.float32)
    if patch.shape == "cross":
        middle = np.arange(patch.size) == patch.size // 2
        covered[:] = middle[:, None] | middle[None, :]
    return covered


def _paint(patch: Patch) -> FloatArray:
    """The patch's colours (3, size, size), whether covered or not."""
    colour = np.asarray(patch.colour, dtype=np.float32)[:, None, None]
    if patch.shape != "checker":
        return np.broadcast_to(colour, (len(colour), patch.size, patch.size))
    odd = np.indices((patch.size, patch.size)).sum(axis=0) % 2 == 1
    painted: FloatArray = np.where(odd, 1 - colour, colour).astype(np.float32)
    return painted
