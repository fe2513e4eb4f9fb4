"""Solid squares tried everywhere on a few images: where a search for patches may begin.

A search by gradients starts from a faint mask over the whole image, and from there it may never
come to a patch that works at once. Squares of the strongest colours, one after another in every
place, need no gradient: each label that one of them reaches gets a second search, from that square.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.data.triggers import Trigger
from hardener.model.gradients import fast_autocast

SQUARE_FRACTION = 1 / 8
"""Side of a square, of the image's shorter side."""

STEP_FRACTION = 3 / 4
"""From square to square, of a square's side."""

LEAST_PROBABILITY = 0.3
"""Mean probability of a label from which its best square is worth a search."""

_IMAGES = 16


def reaching_squares(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    on_place: Callable[[int], None],
    device: torch.device,
) -> list[Trigger]:
    """Of each label that some square reaches, the square that does so best.

    Args:
        network: torch module from normalised images to logits.
        images: (N, C, H, W) clean images in [0, 1], of which 16 at even distances are tried.
        preprocessing: of the network.
        labels: which labels to look at.
        on_place: told of each place where all colours were tried, of `places` in all.
        device: where to compute; the network is moved there.

    Returns:
        Triggers in the order of `labels`, none for a label that no square reaches.
    """
    some = torch.from_numpy(images[:: max(1, len(images) // _IMAGES)][:_IMAGES]).to(device)
    channels, height, width = some.shape[1:]
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    network = network.to(device)
    wanted = torch.tensor(list(labels), device=device)
    colours = torch.tensor(list(product((0.0, 1.0), repeat=channels)), device=device)
    side = _side(height, width)

    def logits_of(shown: Tensor) -> Tensor:
        with fast_autocast(device):
            logits = network(((shown - mean) / std).contiguous(memory_format=torch.channels_last))
        return logits.float()

    with torch.no_grad():
        own = logits_of(some).argmax(1)
        others = (own[:, None] != wanted).float()
        weights = others / others.sum(0).clamp(min=1)
        best = torch.zeros(len(wanted), device=device)
        where = [(0, 0, 0)] * len(wanted)
        for top, left in _corners(height, width):
            shown = some.repeat(len(colours), 1, 1, 1, 1)
            shown[:, :, :, top : top + side, left : left + side] = colours[:, None, :, None, None]
            reached = logits_of(shown.flatten(0, 1)).softmax(1)[:, wanted]
            means = (reached.view(len(colours), len(some), -1) * weights).sum(1)
            highest, colour = means.max(0)
            for row in torch.nonzero(highest > best).flatten().tolist():
                where[row] = (top, left, int(colour[row]))
            best = torch.maximum(best, highest)
            on_place(1)
    return [
        _square(colours[colour].cpu().numpy(), (height, width), (top, left), side, label)
        for label, probability, (top, left, colour) in zip(
            labels, best.tolist(), where, strict=True
        )
        if probability >= LEAST_PROBABILITY
    ]


def places(height: int, width: int) -> int:
    """In how many places of an image squares are tried."""
    return len(_corners(height, width))


def _side(height: int, width: int) -> int:
    return max(1, round(SQUARE_FRACTION * min(height, width)))


def _corners(height: int, width: int) -> list[tuple[int, int]]:
    """Upper left corners, so that squares overlap a little and reach all four edges."""
    side = _side(height, width)
    step = max(1, int(STEP_FRACTION * side))
    along = [
        sorted({*range(0, length - side + 1, step), length - side}) for length in (height, width)
    ]
    return list(product(*along))


def _square(
    colour: FloatArray, size: tuple[int, int], corner: tuple[int, int], side: int, label: int
) -> Trigger:
    mask = np.zeros((1, *size), np.float32)
    mask[:, corner[0] : corner[0] + side, corner[1] : corner[1] + side] = 1
    return Trigger(mask, colour[:, None, None] * mask, label)
