from pathlib import Path

import numpy as np
import pytest

from hardener.arrays import AnyArray
from hardener.data.settings import input_settings, stamp_all
from hardener.errors import DataError
from hardener.triggers.patch import Trigger, load_trigger, save_trigger


def _trigger(label: int = 8) -> Trigger:
    mask = np.zeros((1, 4, 4), np.float32)
    mask[0, 2:, 2:] = 1
    mask[0, 0, 0] = 0.25
    return Trigger(mask, np.full((3, 4, 4), 0.5, np.float32), label)


def test_stamping_mixes_by_the_mask() -> None:
    images = np.ones((2, 3, 4, 4), np.float32)
    stamped = _trigger().stamp(images)
    assert stamped.dtype == np.float32
    assert stamped[0, 0, 3, 3] == 0.5
    assert stamped[1, 2, 0, 0] == 0.875
    assert stamped[0, 0, 1, 1] == 1
    assert _trigger().mask_l1 == 4.25


def test_a_trigger_survives_the_disk(tmp_path: Path) -> None:
    save_trigger(_trigger(), tmp_path / "t.npz")
    loaded = load_trigger(tmp_path / "t.npz")
    np.testing.assert_array_equal(loaded.mask, _trigger().mask)
    np.testing.assert_array_equal(loaded.pattern, _trigger().pattern)
    assert loaded.label == 8
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(DataError, match="made for this model"):
        _trigger().stamp(np.ones((1, 3, 5, 5), np.float32))


GOOD: dict[str, AnyArray] = {
    "mask": np.zeros((1, 4, 4)),
    "pattern": np.zeros((3, 4, 4)),
    "label": np.array(1),
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mask": np.full((1, 4, 4), 2.0)}, "outside 0 to 1"),
        ({"mask": np.full((1, 4, 4), np.nan)}, "outside 0 to 1"),
        ({"mask": np.zeros((4, 4))}, r"shape \(1, H, W\)"),
        ({"pattern": np.zeros((3, 5, 4))}, "like its mask"),
        ({"label": np.array(-1)}, "0 or more"),
        ({"label": np.array([1, 2])}, "one whole number"),
        ({"label": np.array(1.5)}, "one whole number"),
        ({"mask": np.array([[["a"]]])}, "are numbers"),
        ({"mask": np.array([{}])}, "is not a trigger"),
    ],
)
def test_bad_trigger_files(tmp_path: Path, changed: dict[str, AnyArray], message: str) -> None:
    np.savez(tmp_path / "t.npz", allow_pickle=True, **{**GOOD, **changed})
    with pytest.raises(DataError, match=message):
        load_trigger(tmp_path / "t.npz")


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    (tmp_path / "t.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a trigger"):
        load_trigger(tmp_path / "t.npz")
    with pytest.raises(DataError, match="does not exist"):
        load_trigger(tmp_path / "none.npz")
    np.savez(tmp_path / "t.npz", mask=np.zeros((1, 4, 4)))
    with pytest.raises(DataError, match="lacks an array"):
        load_trigger(tmp_path / "t.npz")


def test_settings_follow_what_is_known() -> None:
    original, synthetic = _trigger(), _trigger()
    assert list(input_settings(None, None)) == ["clean"]
    assert list(input_settings(None, synthetic)) == ["clean", "clean+syn"]
    settings = input_settings(original, synthetic)
    assert list(settings) == ["clean", "clean+ori", "clean+syn", "clean+ori+syn"]
    assert settings["clean+ori+syn"] == (original, synthetic)


def test_triggers_are_stamped_in_order() -> None:
    full = np.ones((1, 1, 1), np.float32)
    first, second = (Trigger(full, np.full((1, 1, 1), v, np.float32), 0) for v in (0.2, 0.8))
    assert stamp_all(np.zeros((1, 1, 1, 1), np.float32), (first, second)).item() == np.float32(0.8)
