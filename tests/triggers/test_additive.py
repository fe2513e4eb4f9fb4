from pathlib import Path

import numpy as np
import pytest

from hardener.errors import DataError
from hardener.triggers.additive import ADDITIVE, AdditiveTrigger
from hardener.triggers.patch import PATCH, Trigger

PATH = Path("additive-03.npz")


def _trigger() -> AdditiveTrigger:
    perturbation = np.zeros((3, 4, 4), np.float32)
    perturbation[0, 1, 2], perturbation[2, 3, 3] = 0.6, -0.8
    return AdditiveTrigger(perturbation, 3)


def test_it_adds_and_stays_within_the_range_of_pixels() -> None:
    images = np.full((2, 3, 4, 4), 0.5, np.float32)
    stamped = _trigger().stamp(images)
    assert stamped[:, 0, 1, 2].tolist() == [1, 1]
    assert stamped[:, 2, 3, 3].tolist() == [0, 0]
    assert (stamped == 0.5).sum() == stamped.size - 4
    assert (images == 0.5).all()


def test_its_size_is_the_euclidean_norm() -> None:
    assert _trigger().l2 == pytest.approx(1.0)


def test_it_comes_back_from_its_file_the_same_bytes_each_time() -> None:
    content = ADDITIVE.npz(_trigger())
    again = ADDITIVE.from_npz(PATH, content)
    np.testing.assert_array_equal(again.perturbation, _trigger().perturbation)
    assert again.label == 3
    assert ADDITIVE.npz(again) == content
    assert ADDITIVE.png(again).startswith(b"\x89PNG")


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="use a trigger made for this model"):
        _trigger().stamp(np.zeros((1, 3, 5, 4), np.float32))


@pytest.mark.parametrize(
    ("perturbation", "label", "said"),
    [
        (np.full((3, 4, 4), 1.5, np.float32), 0, "outside -1 to 1"),
        (np.full((3, 4, 4), np.nan, np.float32), 0, "outside -1 to 1"),
        (np.zeros((4, 4), np.float32), 0, r"shape \(C, H, W\)"),
        (np.zeros((3, 4, 4), np.float32), -1, "label is 0 or more"),
    ],
)
def test_what_describes_no_perturbation_is_refused(
    perturbation: np.ndarray[tuple[int, ...], np.dtype[np.float32]], label: int, said: str
) -> None:
    with pytest.raises(DataError, match=said):
        AdditiveTrigger(perturbation, label)


def test_a_patch_is_no_additive_trigger() -> None:
    patch = Trigger(np.ones((1, 4, 4), np.float32), np.ones((3, 4, 4), np.float32), 3)
    with pytest.raises(DataError, match=r"additive-03\.npz lacks an array"):
        ADDITIVE.from_npz(PATH, PATCH.npz(patch))
