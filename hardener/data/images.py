"""Labelled images from a folder, a zip, a CSV manifest or an `.npz`, streamed in batches.

Pictures are decoded by a thread pool a few batches ahead of whoever consumes them, so memory
depends on the batch size and not on how many images there are (names and labels are kept:
some hundred bytes an image).
"""

import csv
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from hardener.arrays import AnyArray, FloatArray, IntArray
from hardener.data.npz import npy_header, npz_decoder, read_array
from hardener.data.pictures import (
    LARGEST_PICTURE_BYTES,
    LARGEST_PICTURE_PIXELS,
    Decoder,
    UnreadableError,
    digest_of,
    picture_decoder,
    read_file,
)
from hardener.data.zips import open_zip
from hardener.errors import DataError
from hardener.files import digest_when_unchanged, read_regular

PICTURE_SUFFIXES = frozenset(
    {
        *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm"),
        *(".ppm", ".tif", ".tiff", ".webp"),
    }
)
UNREADABLE_FRACTION_ALLOWED = 0.01
_LARGEST_MANIFEST_BYTES = 1 << 30
_MOST_IMAGES = 10_000_000


@dataclass(frozen=True, eq=False)
class Batch:
    """Some images of a source.

    Attributes:
        indices: (B,) positions in the source, ascending.
        images: (B, C, H, W) float32 in [0, 1].
        labels: (B,) true labels.
    """

    indices: IntArray
    images: FloatArray
    labels: IntArray


@dataclass(frozen=True, eq=False)
class ImageSource:
    """A labelled image set that is read as a stream, as often as needed.

    Attributes:
        path: what the user named.
        labels: (N,) true labels.
        names: one name an image, to point at it in messages.
        unreadable: names of pictures that could not be decoded so far and why; it fills while
            batches are read.
        named_classes: how many class folders were numbered by the order of their names, for want
            of anything better; None where numbers or class names told the labels.
    """

    path: Path
    labels: IntArray
    names: Sequence[str]
    _decode: Decoder = field(repr=False)
    _digest: Callable[[], str] = field(repr=False)
    unreadable: dict[str, str] = field(default_factory=dict)
    named_classes: int | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def sha256(self) -> str:
        """Digest of the file, or of all names and contents of a folder or manifest."""
        return self._digest()

    def require_labels_of(self, classes: int) -> None:
        """Checks that a model with this many classes can be measured on these images.

        Raises:
            DataError: a label is beyond the model's classes (the message names the image), or
                class folders were numbered by their order and are not as many as the classes.
        """
        if self.named_classes is not None and self.named_classes != classes:
            raise DataError(
                f"{self.path} has {self.named_classes} class folders with names, and the model has "
                f"{classes} classes without: name the folders by label (00000, 00001, …), or "
                "export the model with --class-names"
            )
        beyond = np.flatnonzero(self.labels >= classes)
        if beyond.size:
            first = int(beyond[0])
            raise DataError(
                f"{self.path}: {self.names[first]} has label {self.labels[first]}, but the model "
                f"knows 0 to {classes - 1}: use images labelled with the model's classes"
            )

    def batches(
        self,
        *,
        size: tuple[int, int],
        channels: int,
        batch_size: int,
        indices: IntArray | None = None,
    ) -> Iterator[Batch]:
        """Streams images, decoded ahead in parallel.

        Args:
            size: height and width that images are resized to (bilinear).
            channels: 1 (grey) or 3 (colour); pictures must have as many.
            batch_size: images a batch; the last one may hold fewer, and unreadable pictures
                are left out.
            indices: positions to read, each once, in ascending order; all of them if None.

        Yields:
            Batches in ascending order of position.

        Raises:
            DataError: a picture has another channel count, or more than 1 % of the source's
                pictures turned out unreadable so far.
        """
        chosen = np.arange(len(self)) if indices is None else np.unique(indices)
        for positions, decoded in self._decode(chosen, size, channels, batch_size):
            images = np.empty((len(positions), channels, *size), np.float32)
            kept: list[int] = []
            for position, pixels in zip(positions, decoded, strict=True):
                if isinstance(pixels, str):
                    self._note_unreadable(int(position), pixels)
                else:
                    np.divide(pixels, np.float32(255), out=images[len(kept)])
                    kept.append(int(position))
            if kept:
                where = np.array(kept, dtype=np.int64)
                yield Batch(where, images[: len(kept)], self.labels[where])

    def _note_unreadable(self, position: int, reason: str) -> None:
        self.unreadable[self.names[position]] = reason
        if len(self.unreadable) > UNREADABLE_FRACTION_ALLOWED * len(self):
            listed = "; ".join(f"{name} ({why})" for name, why in self.unreadable.items())
            raise DataError(
                f"{self.path}: more than 1 % of the pictures are unreadable: {listed}: "
                "mend or remove them"
            )


def open_images(path: Path, class_names: Sequence[str] | None = None) -> ImageSource:
    """Opens a labelled image set.

    A folder or zip holds one folder a class. A class folder's label is its position in
    `class_names` where every folder is one of them, else its number where every folder name is
    a number (`00008`), else, where no class names are known, its place in the sorted list.

    Args:
        path: a folder or zip of class folders, a CSV manifest of `path,label` (paths relative
            to and inside the manifest's folder), or an `.npz` with `images` (N, H, W, C) uint8
            and `labels` (N,).
        class_names: the model's class names in label order, where known.

    Raises:
        DataError: the path does not exist, holds no images, or cannot be understood.
    """
    try:
        if path.is_dir():
            return _open_folder(path, class_names)
        if not path.exists():
            raise DataError(f"{path} does not exist: name a folder, zip, CSV or .npz of images")
        if not path.is_file():
            raise DataError(f"{path} is no regular file: name a folder, zip, CSV or .npz of images")
        suffix = path.suffix.lower()
        if suffix == ".zip":
            return _open_zip(path, class_names)
        if suffix == ".csv":
            return _open_manifest(path, class_names)
        if suffix == ".npz":
            return _open_npz(path)
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    raise DataError(
        f"{path} is no image set: name a folder or zip of class folders, a CSV of path,label "
        "or an .npz with images and labels"
    )


def _open_folder(path: Path, class_names: Sequence[str] | None) -> ImageSource:
    names = sorted(
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.suffix.lower() in PICTURE_SUFFIXES and file.is_file()
    )
    labels, named = _labels_from_folders(path, names, class_names)

    def read(name: str) -> bytes:
        return read_file(path / name)

    return ImageSource(
        path,
        labels,
        names,
        picture_decoder(names, read),
        digest_of(names, read),
        named_classes=named,
    )


def _open_zip(path: Path, class_names: Sequence[str] | None) -> ImageSource:
    digest = digest_when_unchanged(path)
    with open_zip(path) as archive:
        names = sorted(
            member.filename
            for member in archive.infolist()
            if not member.is_dir()
            and PurePosixPath(member.filename).suffix.lower() in PICTURE_SUFFIXES
        )
    labels, named = _labels_from_folders(path, names, class_names)

    def decode(
        indices: IntArray, size: tuple[int, int], channels: int, batch_size: int
    ) -> Iterator[tuple[IntArray, Sequence[AnyArray | str]]]:
        with open_zip(path) as archive:
            read = partial(_read_member, archive)
            yield from picture_decoder(names, read)(indices, size, channels, batch_size)

    return ImageSource(path, labels, names, decode, digest, named_classes=named)


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        if archive.getinfo(name).file_size > LARGEST_PICTURE_BYTES:
            raise UnreadableError("over 64 MiB unpacked")
        return archive.read(name)
    except UnreadableError:
        raise
    except Exception as error:  # zlib.error and its like share no base class
        raise UnreadableError(f"damaged in the zip: {error}") from error


def _open_manifest(path: Path, class_names: Sequence[str] | None) -> ImageSource:
    root = path.parent.resolve()
    names: list[str] = []
    seen: set[str] = set()
    labels: list[int] = []
    by_name = {name: label for label, name in enumerate(class_names or ())}
    text = read_regular(path, _LARGEST_MANIFEST_BYTES).decode("utf-8-sig")
    with io.StringIO(text, newline="") as stream:
        for number, row in enumerate(csv.reader(stream), start=1):
            if not row or (number == 1 and [cell.strip() for cell in row[:2]] == ["path", "label"]):
                continue
            if len(row) < 2:
                raise DataError(f"{path} line {number}: a row is path,label")
            name, label = row[0].strip(), row[1].strip()
            if "\0" in name or not (root / name).resolve().is_relative_to(root):
                raise DataError(
                    f"{path} line {number}: {name} lies outside the manifest's folder: "
                    "move the pictures beside the manifest"
                )
            if label in by_name:
                labels.append(by_name[label])
            elif label.isascii() and label.isdecimal() and len(label) < 10:
                labels.append(int(label))
            else:
                raise DataError(
                    f"{path} line {number}: {label!r} is neither a number nor one of the "
                    "model's class names"
                )
            if os.path.normpath(name) in seen:
                raise DataError(f"{path} line {number}: {name} is named twice: name it once")
            seen.add(os.path.normpath(name))
            names.append(name)
    if not names:
        raise DataError(f"{path} names no pictures: a row is path,label")

    def read(name: str) -> bytes:
        return read_file(root / name)

    decoder = picture_decoder(names, read)
    rows = [f"{name},{label}" for name, label in zip(names, labels, strict=True)]
    digest = digest_of(rows, lambda row: read(row.rpartition(",")[0]))
    return ImageSource(path, np.array(labels, np.int64), names, decoder, digest)


def _open_npz(path: Path) -> ImageSource:
    digest = digest_when_unchanged(path)
    shape, dtype = npy_header(path, "images.npy")
    if len(shape) != 4 or dtype != np.uint8 or shape[3] not in (1, 3):
        raise DataError(
            f"{path}: images are (N, H, W, C) uint8 with 1 or 3 channels, not {shape} {dtype}"
        )
    if max(shape[1:3]) > 16384 or shape[1] * shape[2] > LARGEST_PICTURE_PIXELS:
        raise DataError(f"{path}: images of {shape[1]}×{shape[2]} pixels, 64 million allowed")
    label_shape, label_dtype = npy_header(path, "labels.npy")
    if label_shape != shape[:1] or label_dtype.kind not in "iu":
        raise DataError(
            f"{path}: labels are {shape[:1]} whole numbers, one an image, "
            f"not {label_shape} {label_dtype}"
        )
    if shape[0] > _MOST_IMAGES:
        raise DataError(f"{path}: {shape[0]} images, {_MOST_IMAGES} allowed: split it")
    if 0 in shape:
        raise DataError(f"{path} holds no images: their shape is {shape}")
    labels = read_array(path, "labels.npy").astype(np.int64)
    if labels.min() < 0:
        raise DataError(f"{path}: a label is negative: labels count from 0")
    names = [f"image {index}" for index in range(shape[0])]
    decoder = npz_decoder(path, shape)
    return ImageSource(path, labels, names, decoder, digest)


def _labels_from_folders(
    path: Path, names: Sequence[str], class_names: Sequence[str] | None
) -> tuple[IntArray, int | None]:
    """Labels (N,), and how many classes were numbered by their order alone, if any were."""
    if not names:
        raise DataError(f"{path} holds no pictures: it needs one folder a class, with pictures")
    folders = [PurePosixPath(name).parent.name for name in names]
    if "" in folders:
        raise DataError(
            f"{path}: {names[folders.index('')]} lies in no class folder: "
            "put each picture in a folder named after its class"
        )
    distinct, named = sorted(set(folders)), None
    if class_names is not None and set(distinct) <= set(class_names):
        order = {name: label for label, name in enumerate(class_names)}
    elif all(name.isascii() and name.isdecimal() and len(name) < 10 for name in distinct):
        order = {name: int(name) for name in distinct}
    elif class_names is None:
        order, named = {name: label for label, name in enumerate(distinct)}, len(distinct)
    else:
        unknown = next(name for name in distinct if name not in class_names)
        raise DataError(
            f"{path}: class folder {unknown!r} is neither a number nor one of the model's "
            f"{len(class_names)} class names: name the folders so, or by label (00000, 00001, …)"
        )
    return np.array([order[folder] for folder in folders], dtype=np.int64), named
