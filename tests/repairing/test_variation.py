import numpy as np

from hardener.repairing.variation import LIGHT, varied


def test_images_move_by_whole_pixels_and_no_further_than_said() -> None:
    images = np.zeros((200, 1, 32, 32), np.float32)
    images[:, :, 16, 16] = 1
    places = [np.unravel_index(v[0].argmax(), (32, 32)) for v in varied(images, _rng())]
    assert {int(row) for row, _ in places} == {14, 15, 16, 17, 18}
    assert {int(column) for _, column in places} == {14, 15, 16, 17, 18}


def test_light_changes_within_its_limits() -> None:
    images = np.full((100, 3, 8, 8), 0.5, np.float32)
    changed = varied(images, _rng())
    assert changed.min() >= 0.5 * np.exp(-LIGHT) - 1e-6
    assert changed.max() <= 0.5 * np.exp(LIGHT) + 1e-6
    assert changed.std() > 0.02


def test_images_stay_images_and_the_given_ones_as_they_were() -> None:
    images = np.random.default_rng(1).uniform(0, 1, (20, 3, 8, 8)).astype(np.float32)
    before = images.copy()
    changed = varied(images, _rng())
    np.testing.assert_array_equal(images, before)
    assert changed.dtype == np.float32
    assert 0 <= changed.min() <= changed.max() <= 1
    assert changed.shape == images.shape


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)
