import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardener.data.sign_faces import draw_face
from hardener.data.signs import CLASS_NAMES, render_sign, render_signs, write_signs
from hardener.errors import UsageError


def head_on(label: int) -> np.ndarray:
    scene = Image.new("RGB", (64, 64), (128, 128, 128))
    face = draw_face(label, 64)
    scene.paste(face, mask=face)
    return np.asarray(scene, dtype=np.float32)


def test_there_are_43_classes_with_their_own_names() -> None:
    assert len(set(CLASS_NAMES)) == len(CLASS_NAMES) == 43
    assert (CLASS_NAMES[14], CLASS_NAMES[33], CLASS_NAMES[34], CLASS_NAMES[40]) == (
        "stop",
        "turn right ahead",
        "turn left ahead",
        "roundabout mandatory",
    )


@pytest.mark.parametrize("size", [16, 32, 50])
def test_arrays_have_the_promised_shapes_types_and_order(size: int) -> None:
    images, labels = render_signs(2, seed=0, size=size)
    assert images.shape == (86, size, size, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert labels.tolist() == [label for label in range(43) for _ in range(2)]


def test_pictures_are_neither_blank_nor_white_noise() -> None:
    images, _ = render_signs(5, seed=0)
    spread = images.reshape(len(images), -1).std(axis=1)
    assert spread.min() > 5
    assert spread.max() < 110


def test_what_is_too_bright_or_too_dark_is_clipped_and_does_not_wrap() -> None:
    images, _ = render_signs(5, seed=0)
    count = np.bincount(images.ravel(), minlength=256)
    assert count[255] > 5 * count[254]
    assert count[0] > 5 * count[1]


def test_the_label_decides_which_sign_is_shown() -> None:
    # The same state gives the same place and light, so that only the face can differ.
    pictures = [render_sign(label, np.random.default_rng(8)) for label in range(43)]
    assert len({picture.tobytes() for picture in pictures}) == 43
    images, labels = render_signs(10, seed=0)
    red, _, blue = np.moveaxis(images[:, 8:24, 8:24].astype(np.float32), -1, 0)
    warmth = (red - blue).mean(axis=(1, 2))
    mean = [warmth[labels == label].mean() for label in range(43)]
    assert min(mean[12], mean[14], mean[17]) > 20
    assert max(mean[33:41]) < -20


def test_the_same_generator_state_gives_the_same_picture() -> None:
    first = render_sign(14, np.random.default_rng(3))
    second = render_sign(14, np.random.default_rng(3))
    np.testing.assert_array_equal(first, second)


def test_a_larger_request_only_adds_pictures() -> None:
    few, _ = render_signs(2, seed=7)
    many, _ = render_signs(3, seed=7)
    np.testing.assert_array_equal(
        few.reshape(43, 2, 32, 32, 3), many.reshape(43, 3, 32, 32, 3)[:, :2]
    )


def test_another_seed_changes_every_picture() -> None:
    first, _ = render_signs(1, seed=0)
    second, _ = render_signs(1, seed=1)
    assert all((a != b).mean() > 0.5 for a, b in zip(first, second, strict=True))


def test_pictures_of_one_class_differ() -> None:
    images, _ = render_signs(4, seed=0)
    for pictures in images.astype(np.float32).reshape(43, 4, 32, 32, 3):
        assert all(np.abs(a - b).mean() > 5 for a, b in combinations(pictures, 2))


def test_faces_of_any_two_classes_differ() -> None:
    faces = [head_on(label) for label in range(43)]
    for a, b in combinations(range(43), 2):
        clearly = np.abs(faces[a] - faces[b]).max(axis=2) > 60
        assert clearly.mean() > 0.015, f"{CLASS_NAMES[a]} looks like {CLASS_NAMES[b]}"


@pytest.mark.parametrize(
    ("label", "colour"),
    [(12, "yellow"), (14, "red"), (17, "red"), (33, "blue"), (38, "blue"), (40, "blue")],
)
def test_faces_have_the_colour_of_their_sign(label: int, colour: str) -> None:
    face = np.asarray(draw_face(label, 64), dtype=np.float32)
    red, green, blue = face[face[..., 3] > 250][:, :3].T
    share = {
        "red": (red > 150) & (green < 80) & (blue < 80),
        "blue": (blue > 120) & (red < 80),
        "yellow": (red > 200) & (green > 150) & (blue < 80),
    }[colour].mean()
    assert share > 0.4


def test_turn_arrows_point_to_their_own_side() -> None:
    for right, left in ((33, 34), (36, 37), (38, 39), (20, 19)):
        np.testing.assert_allclose(head_on(right)[:, ::-1], head_on(left), atol=90)
    white = head_on(33)[:, :, 0] > 200
    inside = white[20:40, 12:52]
    assert inside[:, 20:].sum() > 1.5 * inside[:, :20].sum()


@pytest.mark.parametrize("label", [-1, 43])
def test_a_label_without_a_sign_is_refused(label: int) -> None:
    with pytest.raises(UsageError, match=f"no sign {label}: .*0 to 42"):
        render_sign(label, np.random.default_rng(0))


def test_a_picture_too_small_to_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="15 pixels"):
        render_sign(0, np.random.default_rng(0), size=15)
    with pytest.raises(UsageError, match="15 pixels"):
        render_signs(1, seed=0, size=15)
    with pytest.raises(UsageError, match="15 pixels"):
        write_signs(tmp_path / "signs.npz", 1, seed=0, size=15)
    assert not list(tmp_path.iterdir())


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(UsageError, match="not 0"):
        render_signs(0, seed=0)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UsageError, match="not -1"):
        render_signs(1, seed=-1)


def test_the_file_holds_what_was_rendered(tmp_path: Path) -> None:
    path = tmp_path / "made" / "signs.data"
    write_signs(path, 2, seed=5, size=24)
    images, labels = render_signs(2, seed=5, size=24)
    with np.load(path, allow_pickle=False) as arrays:
        assert sorted(arrays) == ["images", "labels"]
        np.testing.assert_array_equal(arrays["images"], images)
        np.testing.assert_array_equal(arrays["labels"], labels)
    assert [file.name for file in path.parent.iterdir()] == ["signs.data"]


def test_the_same_arguments_write_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    write_signs(first, 1, seed=0)
    write_signs(second, 1, seed=0)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
