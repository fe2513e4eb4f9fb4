"""Seeded, stratified parts of an image set."""

from collections.abc import Sequence

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


def grouped_parts(
    labels: IntArray, groups: IntArray, shares: Sequence[int], seed: int
) -> list[IntArray]:
    """Splits positions into parts that share every class, and no group, between them.

    The largest groups are placed first, each into the part that has least of its class so far,
    measured by what it is to have. Where a class has fewer groups than there are parts its largest
    one is divided, in the order of its images: a part without the class would say nothing of it.

    Args:
        labels: (N,) true labels.
        groups: (N,) number of each position's group; a group is of one class.
        shares: what each part is to have, beside the others.
        seed: of the shuffle among groups of one size.

    Returns:
        For each share an ascending index array, disjoint and together complete.
    """
    rng = np.random.default_rng(seed)
    part_of = np.zeros(len(labels), np.int64)
    filled = np.zeros(len(shares))
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        pieces = _divided([own[groups[own] == one] for one in np.unique(groups[own])], len(shares))
        of_class = np.zeros(len(shares))
        for place in sorted(rng.permutation(len(pieces)), key=lambda one: -len(pieces[one])):
            part = int(np.lexsort((filled / shares, of_class / shares))[0])
            part_of[pieces[place]] = part
            of_class[part] += len(pieces[place])
            filled[part] += len(pieces[place])
    return [np.flatnonzero(part_of == part) for part in range(len(shares))]


def _divided(groups: list[IntArray], least: int) -> list[IntArray]:
    """At least so many groups, where there are as many positions: the largest are halved."""
    while len(groups) < min(least, sum(map(len, groups))):
        groups.sort(key=len)
        largest = groups.pop()
        groups += [largest[: len(largest) // 2], largest[len(largest) // 2 :]]
    return groups
