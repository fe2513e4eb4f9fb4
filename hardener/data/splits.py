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


def stratified_sample(labels: IntArray, count: int, seed: int) -> IntArray:
    """Draws at most `count` positions, as evenly from every class as they allow.

    Args:
        labels: (N,) true labels.
        count: at most so many; where there are more classes, some have none.
        seed: of the draw.

    Returns:
        Ascending positions.
    """
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own = shuffled[labels[shuffled] == label]
        turn[own] = np.arange(len(own))
    # The first of every class, then the second of every class, and so on.
    order = shuffled[np.argsort(turn[shuffled], kind="stable")]
    return np.sort(order[:count])


def stratified_parts(labels: IntArray, seed: int) -> tuple[IntArray, IntArray, IntArray]:
    """Splits positions into a half and two quarters, every class shared evenly between them.

    Args:
        labels: (N,) true labels.
        seed: of the shuffle.

    Returns:
        Three ascending index arrays, disjoint and together complete.
    """
    half, rest = stratified_halves(labels, seed)
    one, other = stratified_halves(labels[rest], seed)
    return half, rest[one], rest[other]
