"""Seeded, stratified parts of an image set."""

import numpy as np

from hardener.arrays import IntArray


def stratified_halves(labels: IntArray, seed: int) -> tuple[IntArray, IntArray]:
    """Splits positions so that every class is shared evenly between two parts.

    Args:
        labels: (N,) true labels.
        seed: of the shuffle.

    Returns:
        Two ascending index arrays, disjoint and together complete. Classes with an odd count
        give their spare image to either part in turn.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    return np.sort(by_class[0::2]), np.sort(by_class[1::2])


def stratified_sample(labels: IntArray, per_class: int, seed: int) -> IntArray:
    """Draws up to `per_class` positions of each class, ascending."""
    rng = np.random.default_rng(seed)
    drawn = [
        rng.permutation(np.flatnonzero(labels == label))[:per_class] for label in np.unique(labels)
    ]
    return np.sort(np.concatenate(drawn))
