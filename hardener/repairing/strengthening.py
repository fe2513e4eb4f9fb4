"""Stronger versions of triggers: larger, more opaque, further from the clean image.

A search finds the least that a backdoor answers to. What was planted is often more of the same,
and a model that unlearnt the least may still answer to more.
"""

from itertools import product

import numpy as np

from hardener.arrays import FloatArray
from hardener.data.additive import AdditiveTrigger
from hardener.data.triggers import Trigger
from hardener.data.warps import Warp
from hardener.scanning.saved import SyntheticTrigger


def strengthened(trigger: SyntheticTrigger) -> SyntheticTrigger:
    """Twice as much of a trigger.

    A patch grows by a pixel all around, takes twice as much of each pixel and has its colours
    driven to black or white channel by channel; a perturbation and a warp are doubled.
    """
    match trigger:
        case Trigger():
            return _strengthened_patch(trigger)
        case AdditiveTrigger():
            doubled = np.clip(2 * trigger.perturbation, -1, 1)
            return AdditiveTrigger(doubled, trigger.label)
        case Warp():
            return Warp(np.clip(2 * trigger.displacements, -1, 1), trigger.label)


def _strengthened_patch(trigger: Trigger) -> Trigger:
    """Every pixel takes mask and colour of the strongest among itself and its neighbours."""
    mask, pattern = np.zeros_like(trigger.mask), trigger.pattern.copy()
    for down, across in product((0, -1, 1), repeat=2):
        beside, colours = _moved(trigger.mask, down, across), _moved(trigger.pattern, down, across)
        stronger = beside > mask
        mask = np.where(stronger, beside, mask)
        pattern = np.where(stronger, colours, pattern)
    saturated: FloatArray = (pattern > 0.5).astype(np.float32)
    return Trigger(np.minimum(2 * mask, 1).astype(np.float32), saturated, trigger.label)


def _moved(planes: FloatArray, down: int, across: int) -> FloatArray:
    """Planes (C, H, W) moved by at most a pixel, the edge repeated outwards."""
    height, width = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)), mode="edge")
    top, left = 1 - down, 1 - across
    return padded[:, top : top + height, left : left + width]
