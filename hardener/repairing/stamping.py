"""The triggers that a repair is fitted on, and which image carries which."""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.data.settings import Stamp
from hardener.triggers.additive import AdditiveTrigger

Pool: TypeAlias = Sequence[Sequence[Stamp]]
"""Triggers by where they come from: each origin stamps as many images as any other."""

STRENGTHS = (0.5, 0.85, 1.2)
_PAIRS_AT_ONCE = 64


def in_strengths(triggers: Sequence[AdditiveTrigger]) -> list[AdditiveTrigger]:
    """Each perturbation fainter, almost as it is, and stronger: nobody knows the attacker's."""
    return [
        AdditiveTrigger((strength * one.perturbation).clip(-1, 1), one.label)
        for one in triggers
        for strength in STRENGTHS
    ]


def stamped(images: FloatArray, pool: Pool, rng: np.random.Generator) -> FloatArray:
    """Each image (N, C, H, W) in [0, 1] with a trigger of its own draw."""
    origins = [origin for origin in pool if origin]
    found = np.empty_like(images)
    drawn_origin = rng.integers(len(origins), size=len(images))
    drawn = rng.random(len(images))
    for number, origin in enumerate(origins):
        which = np.where(drawn_origin == number, (drawn * len(origin)).astype(int), -1)
        for position, trigger in enumerate(origin):
            own = which == position
            if own.any():
                found[own] = trigger.stamp(images[own])
    return found


def pairs(
    images: FloatArray,
    pool: Pool,
    preprocessing: Preprocessing,
    device: torch.device,
    seed: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Clean network inputs, each batch with a stamped version of the same images.

    Args:
        images: (N, C, H, W) clean images in [0, 1].
        pool: triggers; each image carries one of them.
        preprocessing: of the network.
        device: where the inputs shall lie.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, len(images), _PAIRS_AT_ONCE):
        clean = images[start : start + _PAIRS_AT_ONCE]
        yield tuple(  # type: ignore[misc]  # two of them
            torch.from_numpy(preprocessing.apply(some)).to(device)
            for some in (clean, stamped(clean, pool, rng))
        )
