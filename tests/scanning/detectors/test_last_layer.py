import numpy as np
import pytest

from hardener.scanning.detectors.last_layer import row_indices


def _rows() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(0, 1, (43, 256)).astype(np.float32)


def test_a_row_to_the_right_of_all_others_stands_apart() -> None:
    rows = _rows()
    assert row_indices(rows).max() < 4
    rows[17] += np.float32(1)
    indices = row_indices(rows)
    assert int(indices.argmax()) == 17
    assert indices[17] > 10
    rows[17] -= np.float32(2)
    assert row_indices(rows)[17] < -10


def test_what_moves_all_logits_alike_changes_nothing() -> None:
    rows = _rows()
    common = np.random.default_rng(1).normal(0, 3, 256).astype(np.float32)
    assert row_indices(rows + common) == pytest.approx(row_indices(rows), abs=1e-2)
    assert row_indices(7 * rows) == pytest.approx(row_indices(rows), rel=1e-3)


def test_equal_rows_have_no_outlier() -> None:
    assert np.abs(row_indices(np.ones((10, 8), np.float32))).max() == 0
