import numpy as np

from hardener.pruning.prune import _LARGEST_FEATURE_BYTES, _affordable
from hardener.pruning.sweep import FeatureBatch
from hardener.scanning.activations import ChannelNorms

LABELS = np.repeat(np.arange(4), 1000)
NOTHING = np.zeros((1, 1), np.float32)


def _batch(bytes_per_image: int) -> FeatureBatch:
    # A view that repeats one value: large in shape, small in memory.
    features = np.broadcast_to(np.float32(0), (1, bytes_per_image // 4, 1, 1))
    norms = {"clean": ChannelNorms.of(NOTHING, NOTHING, NOTHING)}
    return FeatureBatch(LABELS[:1], {"clean": {"feature": features}}, norms)


def test_small_feature_maps_leave_every_choosing_image() -> None:
    indices = np.arange(0, 4000, 2)
    kept = _affordable(indices, LABELS, iter([_batch(4096)]), seed=0)
    np.testing.assert_array_equal(kept, indices)


def test_large_feature_maps_leave_as_many_images_of_every_class() -> None:
    indices = np.arange(0, 4000, 2)
    kept = _affordable(indices, LABELS, iter([_batch(_LARGEST_FEATURE_BYTES // 100)]), seed=0)
    assert np.bincount(LABELS[kept]).tolist() == [25, 25, 25, 25]
    assert set(kept) <= set(indices)
