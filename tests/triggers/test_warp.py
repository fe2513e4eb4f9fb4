from pathlib import Path

import numpy as np
import pytest

from hardener.arrays import FloatArray
from hardener.errors import DataError
from hardener.triggers.patch import PATCH, Trigger
from hardener.triggers.warp import WARP, Warp, interpolation

PATH = Path("warp-03.npz")


def _everywhere(across: float, down: float) -> Warp:
    displacements = np.empty((2, 4, 4), np.float32)
    displacements[0], displacements[1] = across, down
    return Warp(displacements, 3)


def _images() -> FloatArray:
    return np.random.default_rng(0).uniform(size=(2, 3, 8, 16)).astype(np.float32)


def test_pixels_are_fetched_from_where_the_field_points() -> None:
    images = _images()
    warped = _everywhere(2 / 16, 1 / 8).stamp(images)
    np.testing.assert_allclose(warped[..., :-1, :-2], images[..., 1:, 2:], atol=1e-6)
    np.testing.assert_allclose(warped[..., -1, -1], images[..., -1, -1], atol=1e-6)


def test_half_a_pixel_is_the_mean_of_two() -> None:
    images = _images()
    warped = _everywhere(0.5 / 16, 0).stamp(images)
    between = (images[..., :-1] + images[..., 1:]) / 2
    np.testing.assert_allclose(warped[..., :-1], between, atol=1e-6)


def test_where_nothing_moves_images_stay_as_they_are() -> None:
    images = _images()
    np.testing.assert_array_equal(_everywhere(0, 0).stamp(images), images)


def test_its_size_is_the_root_mean_square() -> None:
    assert _everywhere(0.3, 0.1).rms == pytest.approx(np.sqrt(0.05))


def test_the_field_goes_through_the_grid_and_stays_even() -> None:
    weights = interpolation(4, 7)  # a pixel on every grid value and one between each two
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(weights[::2], np.eye(4), atol=1e-6)


@pytest.mark.parametrize(
    ("displacements", "label", "said"),
    [
        (np.full((2, 4, 4), 1.5, np.float32), 0, "outside -1 to 1"),
        (np.full((2, 4, 4), np.nan, np.float32), 0, "outside -1 to 1"),
        (np.zeros((3, 4, 4), np.float32), 0, r"shape \(2, G, G\)"),
        (np.zeros((2, 4, 5), np.float32), 0, r"shape \(2, G, G\)"),
        (np.zeros((2, 1, 1), np.float32), 0, r"shape \(2, G, G\)"),
        (np.zeros((2, 4, 4), np.float32), -1, "label is 0 or more"),
    ],
)
def test_what_describes_no_warp_is_refused(
    displacements: FloatArray, label: int, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        Warp(displacements, label)


def test_it_comes_back_from_its_file() -> None:
    warp = _everywhere(0.25, -0.5)
    again = WARP.from_npz(PATH, WARP.npz(warp))
    np.testing.assert_array_equal(again.displacements, warp.displacements)
    assert again.label == 3
    assert WARP.png(warp).startswith(b"\x89PNG")


def test_a_patch_is_no_warp() -> None:
    patch = Trigger(np.ones((1, 4, 4), np.float32), np.ones((3, 4, 4), np.float32), 3)
    with pytest.raises(DataError, match=r"warp-03\.npz lacks an array"):
        WARP.from_npz(PATH, PATCH.npz(patch))
