"""Near-duplicates: frames of one track, crops of one picture.

What a model does on an image says little of how it will do on tomorrow's where it was fitted on
the frame before. Images that look alike are therefore told apart from those that do not, so that a
split can keep them together.
"""

from collections.abc import Iterable

import numpy as np

from hardener.arrays import BoolArray, FloatArray, IntArray
from hardener.data.images import Batch

_SIDE = 8
_SAMPLED = 2000
_QUANTILE = 0.999
_SAME = 0.99
"""Pictures that correlate more are one, even where different classes share some."""
_ROWS_AT_ONCE = 1024


def thumbnails(batches: Iterable[Batch], count: int) -> FloatArray:
    """Images made small, without their mean, at length 1: their products are correlations.

    Kept for all images at once: at most 192 values each.

    Args:
        batches: of the images.
        count: N, of all images; what the batches leave out is zero, and like nothing.

    Returns:
        (N, D) one row an image.
    """
    found = np.zeros((count, 1), np.float32)
    for batch in batches:
        small = _small(batch.images)
        small -= small.mean(axis=1, keepdims=True)
        small /= np.linalg.norm(small, axis=1, keepdims=True) + 1e-6
        if found.shape[1] != small.shape[1]:
            found = np.zeros((count, small.shape[1]), np.float32)
        found[batch.indices] = small
    return found


def similar_groups(small: FloatArray, labels: IntArray) -> IntArray:
    """Groups of images that are alike: no image of one is alike to any of another.

    Two images are alike that are of one class and correlate more than all but one in a thousand
    pairs of *different* classes do, which cannot be two pictures of one thing.

    Args:
        small: (N, D) thumbnails.
        labels: (N,) true labels.

    Returns:
        (N,) number of each image's group, from 0.
    """
    least = _likeness_of_strangers(small, labels)
    groups = np.full(len(labels), -1, np.int64)
    count = 0
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        parts = _connected(small[own], least)
        groups[own] = count + parts
        count += int(parts.max(initial=-1)) + 1
    return groups


def _small(images: FloatArray) -> FloatArray:
    """Means over a grid of at most 8 by 8 cells (B, C·8·8)."""
    for axis in (2, 3):
        size = images.shape[axis]
        edges = np.linspace(0, size, min(_SIDE, size), endpoint=False).astype(np.int64)
        widths = np.diff([*edges, size]).astype(np.float32)
        shape = [-1 if place == axis else 1 for place in range(4)]
        images = np.add.reduceat(images, edges, axis=axis).astype(np.float32)
        images /= widths.reshape(shape)
    return images.reshape(len(images), -1)


def _likeness_of_strangers(small: FloatArray, labels: IntArray) -> float:
    """The correlation that one in a thousand pairs of different classes exceeds, if any."""
    some = np.random.default_rng(0).permutation(len(labels))[:_SAMPLED]
    strangers = labels[some][:, None] != labels[some][None]
    if not strangers.any():
        return 1.0
    likeness = np.quantile((small[some] @ small[some].T)[strangers], _QUANTILE)
    return min(float(likeness), _SAME)


def _connected(small: FloatArray, least: float) -> IntArray:
    """(n,) which images hang together by pairs that correlate more than `least`."""
    groups = np.arange(len(small))
    for start in range(0, len(small), _ROWS_AT_ONCE):
        alike: BoolArray = small[start : start + _ROWS_AT_ONCE] @ small.T > least
        for row, others in enumerate(alike, start):
            joined = np.unique(groups[others])
            if len(joined) > 1 or (len(joined) and joined[0] != groups[row]):
                groups[np.isin(groups, [*joined, groups[row]])] = min(*joined, groups[row])
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)
