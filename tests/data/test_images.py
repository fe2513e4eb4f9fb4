import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardener.arrays import AnyArray
from hardener.data.images import ImageSource, open_images
from hardener.errors import DataError


def _pixels(label: int, index: int = 0, channels: int = 3) -> AnyArray:
    rng = np.random.default_rng((label, index))
    shape = (6, 5, channels) if channels > 1 else (6, 5)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def _png(pixels: AnyArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def _folder(root: Path, classes: dict[str, int]) -> Path:
    for position, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True)
        for index in range(count):
            (root / name / f"{index}.png").write_bytes(_png(_pixels(position, index)))
    return root


def _all(source: ImageSource, channels: int = 3, batch_size: int = 4) -> tuple[AnyArray, AnyArray]:
    batches = list(source.batches(size=(6, 5), channels=channels, batch_size=batch_size))
    return (
        np.concatenate([batch.images for batch in batches]),
        np.concatenate([batch.labels for batch in batches]),
    )


def test_folder_zip_csv_and_npz_give_the_same_images(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "folder", {"0": 3, "1": 2, "2": 4})
    zipped, manifest, packed = (tmp_path / n for n in ("d.zip", "folder/d.csv", "d.npz"))
    files = sorted(folder.rglob("*.png"))
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in files:
            archive.write(file, file.relative_to(folder))
    rows = [f"{f.relative_to(folder)},{f.parent.name}" for f in files]
    manifest.write_text("path,label\n" + "\n".join(rows) + "\n")
    pixels = np.stack([np.asarray(Image.open(f)) for f in files])
    np.savez(packed, images=pixels, labels=np.array([int(f.parent.name) for f in files]))

    expected = np.moveaxis(pixels, -1, 1).astype(np.float32) / 255
    for path in (folder, zipped, manifest, packed):
        source = open_images(path)
        found, labels = _all(source)
        np.testing.assert_array_equal(found, expected, err_msg=str(path))
        assert labels.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2]
        assert len(source.sha256()) == 64


def test_chosen_positions_come_in_ascending_order(tmp_path: Path) -> None:
    packed = tmp_path / "d.npz"
    pixels = np.stack([_pixels(0, index) for index in range(9)])
    np.savez_compressed(packed, images=pixels, labels=np.arange(9))
    batches = list(
        open_images(packed).batches(
            size=(6, 5), channels=3, batch_size=2, indices=np.array([8, 2, 5])
        )
    )
    assert [batch.indices.tolist() for batch in batches] == [[2, 5], [8]]
    np.testing.assert_array_equal(batches[1].images[0] * 255, np.moveaxis(pixels[8], -1, 0))


def test_an_npz_gives_the_pixels_of_a_folder_resized_too(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "folder", {"0": 3})
    pixels = np.stack([np.asarray(Image.open(f)) for f in sorted(folder.rglob("*.png"))])
    np.savez(tmp_path / "d.npz", images=pixels, labels=np.zeros(3, np.int64))
    one, other = (
        next(open_images(path).batches(size=(13, 4), channels=3, batch_size=3)).images
        for path in (folder, tmp_path / "d.npz")
    )
    np.testing.assert_array_equal(one, other)


def test_a_position_that_is_named_twice_comes_once(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", images=_pixels(0)[None].repeat(4, 0), labels=np.arange(4))
    asked = {"size": (6, 5), "channels": 3, "batch_size": 4}
    (batch,) = open_images(tmp_path / "d.npz").batches(indices=np.array([3, 1, 3]), **asked)  # type: ignore[arg-type]
    assert batch.indices.tolist() == [1, 3]


def test_a_zip_is_closed_again(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.writestr("0/a.png", _png(_pixels(0)))
    source = open_images(tmp_path / "d.zip")
    before = len(list(Path("/proc/self/fd").iterdir()))
    others = [open_images(tmp_path / "d.zip") for _ in range(5)]
    _all(source)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert all(len(other) == 1 for other in others)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(12, 7), (4, 9), (2, 2), (97, 1)])
def test_images_are_resized_as_pillow_does_it_within_one_level(
    tmp_path: Path, size: tuple[int, int], channels: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (41, 53, 3)[: 2 + channels // 2], np.uint8)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "0.png").write_bytes(_png(pixels))
    (batch,) = open_images(tmp_path).batches(size=size, channels=channels, batch_size=1)
    resized = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR)
    expected = np.moveaxis(np.asarray(resized).reshape(*size, channels), -1, 0)
    assert np.abs(np.rint(batch.images[0] * 255) - expected).max() <= 1


def test_class_folders_follow_the_models_names(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"cat": 1, "dog": 1})
    assert open_images(folder, ["dog", "bird", "cat"]).labels.tolist() == [2, 0]
    assert open_images(folder).labels.tolist() == [0, 1]
    with pytest.raises(DataError, match="'cat' is neither a number nor one of the model's 2"):
        open_images(folder, ["Cat", "Dog"])


def test_numbered_folders_are_labels_even_with_gaps(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"00003": 1, "00010": 1})
    source = open_images(folder, ["a"] * 11)
    assert source.labels.tolist() == [3, 10]
    with pytest.raises(DataError, match=r"00010/0.png has label 10.*0 to 9"):
        source.require_labels_of(10)


def test_folders_numbered_by_their_order_must_be_all_classes(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"cat": 1, "dog": 1})
    shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    for source in (open_images(folder), open_images(tmp_path / "packed.zip")):
        source.require_labels_of(2)
        with pytest.raises(DataError, match="2 class folders with names, and the model has 43"):
            source.require_labels_of(43)
    open_images(folder, ["cat", "dog", "bird"]).require_labels_of(3)
    open_images(_folder(tmp_path / "n", {"0": 1, "3": 1})).require_labels_of(43)


def test_few_unreadable_pictures_are_left_out_and_listed(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"0": 150})
    (folder / "0" / "7.png").write_bytes(b"no picture")
    source = open_images(folder)
    images, labels = _all(source)
    assert len(images) == len(labels) == 149
    assert list(source.unreadable) == ["0/7.png"]


def test_a_few_positions_may_hold_the_one_unreadable_picture(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"0": 150})
    (folder / "0" / "0.png").write_bytes(b"no picture")
    source = open_images(folder)
    chosen = np.array([0, 1])
    for _ in range(2):
        (batch,) = source.batches(size=(6, 5), channels=3, batch_size=4, indices=chosen)
        assert batch.indices.tolist() == [1]


def test_batches_are_contiguous(tmp_path: Path) -> None:
    # An exporter that is given another memory layout refuses x.view(...).
    source = open_images(_folder(tmp_path / "d", {"0": 3}))
    (batch,) = source.batches(size=(6, 5), channels=3, batch_size=4)
    assert batch.images.flags["C_CONTIGUOUS"]


def test_a_manifests_digest_covers_its_labels(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"0": 1})
    digests = set()
    for label in (0, 1):
        (folder / "d.csv").write_text(f"0/0.png,{label}\n")
        digests.add(open_images(folder / "d.csv").sha256())
    assert len(digests) == 2


def test_many_unreadable_pictures_stop_the_run(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"0": 150})
    for index in (7, 8):
        (folder / "0" / f"{index}.png").write_bytes(_png(_pixels(0))[:60])
    with pytest.raises(DataError, match=r"more than 1 %.*0/7.png.*0/8.png"):
        _all(open_images(folder))


def test_a_wrong_channel_count_names_the_file(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"0": 1})
    with pytest.raises(DataError, match=r"0/0.png has 3 channels, the model takes 1"):
        _all(open_images(folder), channels=1)


def test_a_grey_picture_for_a_colour_model_has_its_value_in_every_channel(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "d", {"0": 1})
    (folder / "0" / "grey.png").write_bytes(_png(_pixels(0, channels=1)))
    images, _ = _all(open_images(folder))
    grey = images[1]
    np.testing.assert_array_equal(grey, np.repeat(grey[:1], 3, axis=0))
    np.testing.assert_array_equal(np.rint(255 * grey[0]), _pixels(0, channels=1))


def test_grey_images_for_a_grey_model(tmp_path: Path) -> None:
    (tmp_path / "d" / "4").mkdir(parents=True)
    (tmp_path / "d" / "4" / "a.png").write_bytes(_png(_pixels(0, channels=1)))
    images, labels = _all(open_images(tmp_path / "d"), channels=1)
    np.testing.assert_array_equal(images[0, 0] * 255, _pixels(0, channels=1))
    assert labels.tolist() == [4]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("../secret.png,0\n", "line 1: .* outside the manifest's folder"),
        ("/etc/passwd,0\n", "outside the manifest's folder"),
        ("a.png,cat\n", "'cat' is neither a number nor"),
        ("a.png\n", "a row is path,label"),
        ("a.png,-1\n", "'-1' is neither"),
        ("path,label\n", "names no pictures"),
    ],
)
def test_bad_manifests(tmp_path: Path, rows: str, message: str) -> None:
    manifest = tmp_path / "d.csv"
    manifest.write_text(rows)
    with pytest.raises(DataError, match=message):
        open_images(manifest)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.zeros((2, 3, 4, 4), np.uint8), "labels": np.zeros(2, int)}, "with 1 or 3"),
        ({"images": np.zeros((2, 4, 4, 3), np.float32), "labels": np.zeros(2, int)}, "uint8"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.zeros(3, int)}, "one an image"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.zeros(2)}, "whole numbers"),
        ({"images": np.zeros((0, 4, 4, 3), np.uint8), "labels": np.zeros(0, int)}, "no images"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.array([0, -1])}, "negative"),
        ({"images": np.zeros((2, 4, 4, 3), np.uint8)}, "lacks labels"),
        ({"images": np.array([{}, {}]), "labels": np.zeros(2, int)}, "objects"),
    ],
)
def test_bad_npz_files(tmp_path: Path, arrays: dict[str, AnyArray], message: str) -> None:
    np.savez(tmp_path / "d.npz", allow_pickle=True, **arrays)
    with pytest.raises(DataError, match=message):
        open_images(tmp_path / "d.npz")


def test_a_damaged_npz_is_an_error_while_reading(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), dtype=np.uint8)
    path = tmp_path / "d.npz"
    np.savez_compressed(path, images=pixels, labels=np.zeros(50, int))
    content = bytearray(path.read_bytes())
    content[1500:1600] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        _all(open_images(path))


@pytest.mark.parametrize("name", ["no.zip", "no.csv", "no.npz", "empty", "text.txt"])
def test_what_is_no_image_set_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    for file in ("no.zip", "no.csv", "no.npz", "text.txt"):
        (tmp_path / file).write_bytes(b"\x00\xff no such thing")
    with pytest.raises(DataError, match=name):
        open_images(tmp_path / name)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        open_images(tmp_path / "nowhere")


def test_a_picture_outside_a_class_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(_png(_pixels(0)))
    with pytest.raises(DataError, match=r"a.png lies in no class folder"):
        open_images(tmp_path)
