"""Waking what sleeps: windows of images made for a label, pasted onto clean ones.

A detector that is made of weights alone gives nothing on any clean image, and behind a rectifier
nothing has no slope: no search by gradients comes near it. With a slope of 1 through every
rectifier the climb toward the largest margin of a label reaches it, and the image that it ends at
holds the trigger, somewhere. Of the labels that get furthest ahead windows of that image are tried
on clean ones; one that sends most of them to the label is a patch like any other.

Source: the climb is that of MM-BD (Wang et al. 2024), the slope that of Bengio et al. 2013; their
use together, and the windows, are ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import TypeAlias

import numpy as np
import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.model.differentiation.network import GraphNetwork
from hardener.scanning.climbing import AscentSettings, climb, within_budget
from hardener.scanning.screening import SQUARE_FRACTION, Squares, logits_in_parts
from hardener.triggers.patch import Trigger

AWAKENING_STAGE = "waking detectors"
"""What progress calls it."""

_CLIMB = AscentSettings(starts=1, steps=40)
_MOST_VALUES = 700 * 3 * 224 * 224
"""Input values of all gradients."""
_SIDES = (1 / 4, SQUARE_FRACTION)
"""Of the windows, of the image's shorter side."""
_MOST_LABELS = 3
_IMAGES = 12
_LEAST_SHARE = 0.8
"""Of the images that a window must send to its label."""

Place: TypeAlias = tuple[int, int, int]
"""Upper row, left column and side."""


def awakening(labels: int, preprocessing: Preprocessing) -> AscentSettings:
    """How long to climb for so many labels."""
    values = preprocessing.channels * int(np.prod(preprocessing.size))
    return within_budget(_CLIMB, labels, values, _MOST_VALUES)


def with_woken(
    squares: Squares,
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    seed: int,
    on_step: Callable[[int], None],
    device: torch.device,
) -> Squares:
    """Squares, and before those of a label the window that wakes a detector of it, if one does.

    Args:
        squares: what solid squares do.
        network: torch module from normalised images to logits, of `differentiable`.
        images: (N, C, H, W) clean images in [0, 1].
        preprocessing: of the network.
        labels: which labels to look at, as in `squares`.
        seed: of the starting points.
        on_step: told how many label-steps just finished.
        device: where to compute.
    """
    if not isinstance(network, GraphNetwork):
        return squares
    settings = awakening(len(labels), preprocessing)
    try:
        margins, made = climb(
            network.awake(), preprocessing, labels, settings, seed, on_step, device
        )
    except InconclusiveError:
        return squares  # Where only these images overflow nothing else need.
    reaching, best = dict(squares.reaching), squares.best.copy()
    for position in np.argsort(-margins)[:_MOST_LABELS]:
        label = labels[position]
        found = _window(network, images, preprocessing, made[position], label, device)
        if found is not None:
            trigger, share = found
            best[position] = max(share, best[position])
            reaching[label] = [trigger, *reaching.get(label, [])]
    return replace(squares, reaching=reaching, best=best)


def _window(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    made: FloatArray,
    label: int,
    device: torch.device,
) -> tuple[Trigger, float] | None:
    """The window of an image (C, H, W) that sends most others to a label, and their share."""
    shown = torch.from_numpy(images[np.linspace(0, len(images) - 1, 4 * _IMAGES).astype(int)])
    with torch.no_grad():
        own = logits_in_parts(network, shown.to(device), preprocessing).argmax(1).cpu()
    shown = shown[own != label][:_IMAGES]
    if not len(shown):
        return None
    height, width = made.shape[1:]
    coarse, fine = (max(1, round(share * min(height, width))) for share in _SIDES)
    picture = torch.from_numpy(made)

    def best_of(side: int, rows: range, columns: range) -> tuple[float, Place]:
        shares: dict[Place, float] = {}
        for top, left in product(rows, columns):
            inside = slice(top, top + side), slice(left, left + side)
            pasted = shown.clone()
            pasted[:, :, *inside] = picture[:, *inside]
            with torch.no_grad():
                labels = logits_in_parts(network, pasted.to(device), preprocessing).argmax(1)
            shares[top, left, side] = float((labels == label).float().mean())
        place = max(shares, key=lambda one: shares[one])
        return shares[place], place

    step = max(1, coarse - fine)  # A patch of the finer size lies wholly inside one of them.
    found = best_of(coarse, range(0, height - fine, step), range(0, width - fine, step))
    if found[0] >= _LEAST_SHARE:
        top, left, _ = found[1]
        last = [
            max(one, min(one + coarse, length) - fine)
            for one, length in ((top, height), (left, width))
        ]
        finer = best_of(fine, range(top, last[0] + 1), range(left, last[1] + 1))
        found = finer if finer[0] >= _LEAST_SHARE else found
    share, (top, left, side) = found
    if share < _LEAST_SHARE:
        return None
    mask = np.zeros((1, height, width), np.float32)
    mask[:, top : top + side, left : left + side] = 1
    return Trigger(mask, made * mask, label), share
