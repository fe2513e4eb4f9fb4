"""Tracks of noisy copies: of each thing several pictures that differ a little."""

import numpy as np

from hardener.arrays import FloatArray, IntArray
from hardener.data.images import Batch
from hardener.data.similar import similar_groups, thumbnails

THINGS, FRAMES = 40, 6


def _tracks(noise: float) -> tuple[FloatArray, IntArray, IntArray]:
    """Images, labels (four classes) and which thing each shows."""
    rng = np.random.default_rng(0)
    things = rng.random((THINGS, 3, 8, 8), dtype=np.float32)
    shown = np.repeat(np.arange(THINGS), FRAMES)
    frames = things[shown].repeat(2, axis=2).repeat(2, axis=3)
    frames += noise * rng.standard_normal(frames.shape, dtype=np.float32)
    return frames, shown % 4, shown


def _batches(images: FloatArray, labels: IntArray, size: int = 7) -> list[Batch]:
    every = np.arange(len(images))
    return [
        Batch(every[i : i + size], images[i : i + size], labels[i : i + size])
        for i in range(0, len(images), size)
    ]


def test_frames_of_a_track_are_one_group_and_other_tracks_are_not() -> None:
    images, labels, shown = _tracks(0.05)
    groups = similar_groups(thumbnails(_batches(images, labels), len(images)), labels)
    assert len(np.unique(groups)) == THINGS
    for thing in range(THINGS):
        assert len(np.unique(groups[shown == thing])) == 1


def test_a_picture_that_all_classes_share_parts_no_copies() -> None:
    images, labels, _ = _tracks(0.05)
    copied, of = np.concatenate([images] * 3), np.concatenate([labels] * 3)
    shared = np.repeat(images[:1], 40, axis=0)
    every, theirs = np.concatenate([copied, shared]), np.concatenate([of, np.arange(40) % 4])
    groups = similar_groups(thumbnails(_batches(every, theirs), len(every)), theirs)
    copies = groups[: len(copied)].reshape(3, -1)
    assert (copies == copies[0]).all()


def test_images_that_only_share_a_class_stand_alone() -> None:
    images, labels, _ = _tracks(5)
    groups = similar_groups(thumbnails(_batches(images, labels), len(images)), labels)
    assert len(np.unique(groups)) > 0.9 * len(images)


def test_light_and_contrast_make_no_other_picture() -> None:
    images, labels, _ = _tracks(0.05)
    darker = 0.5 * images + 0.2
    small = thumbnails(_batches(images, labels), len(images))
    np.testing.assert_allclose(thumbnails(_batches(darker, labels), len(images)), small, atol=1e-4)


def test_pictures_that_cannot_be_read_are_like_nothing() -> None:
    images, labels, _ = _tracks(0.05)
    small = thumbnails(_batches(images, labels)[1:], len(images))
    groups = similar_groups(small, labels)
    assert len(np.unique(groups[:7])) == 7


def test_one_class_has_no_strangers_and_every_image_stands_alone() -> None:
    images, labels, _ = _tracks(0.05)
    small = thumbnails(_batches(images, labels), len(images))
    assert len(np.unique(similar_groups(small, np.zeros_like(labels)))) == len(images)


def test_sides_that_the_grid_does_not_divide_are_averaged_whole() -> None:
    ramp = np.tile(np.arange(11, dtype=np.float32), (1, 1, 9, 1))
    small = thumbnails([Batch(np.array([0]), ramp, np.array([0]))], 1).reshape(8, 8)
    assert (np.diff(small, axis=1) > 0).all()
    np.testing.assert_allclose(small, np.tile(small[:1], (8, 1)), atol=1e-6)
