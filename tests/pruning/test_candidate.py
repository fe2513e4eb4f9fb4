import numpy as np
import pytest

from hardener.errors import InconclusiveError
from hardener.pruning.candidate import LARGEST_KEPT_BYTES, affordable, checked_indices

LABELS = np.repeat(np.arange(4), 1000)


def test_small_feature_maps_leave_every_choosing_image() -> None:
    indices = np.arange(0, 4000, 2)
    np.testing.assert_array_equal(affordable(indices, LABELS, 4096, 0, "maps"), indices)


def test_large_feature_maps_leave_as_many_images_of_every_class() -> None:
    indices = np.arange(0, 4000, 2)
    kept = affordable(indices, LABELS, LARGEST_KEPT_BYTES // 100, 0, "maps")
    assert np.bincount(LABELS[kept]).tolist() == [25, 25, 25, 25]
    assert set(kept) <= set(indices)


def test_feature_maps_too_large_for_enough_images_leave_it_inconclusive() -> None:
    with pytest.raises(InconclusiveError, match=r"the maps of one image .* only 20 images fit"):
        affordable(np.arange(0, 4000, 2), LABELS, LARGEST_KEPT_BYTES // 20, 0, "maps")


def test_a_rewrite_is_checked_on_images_from_all_over_the_set() -> None:
    found = checked_indices(np.arange(1000, 2000))
    assert (len(found), found[0], found[-1]) == (64, 1000, 1945)
    assert checked_indices(np.arange(3)).tolist() == [0, 1, 2]
