"""Training, validation and test images of the data sets, held in memory.

All images of a split are kept as uint8 (107 MB for the 34,829 training images of GTSRB): each
epoch reads them in another order, and decoding PNGs would cost more than the training step.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from hardener.data.images import open_images
from hardener.data.signs import render_signs
from hardener.errors import DataError, UsageError

DataSet = Literal["gtsrb", "signs", "fashion", "cifar10", "tiny40"]
Part = Literal["train", "valid", "test"]

CLASSES: dict[DataSet, int] = {"gtsrb": 43, "signs": 43, "fashion": 10, "cifar10": 10, "tiny40": 40}
"""Labels of each data set."""

FASHION = Path("/usr/share/datasets/fashion-mnist")

ZIPS: dict[DataSet, tuple[str, tuple[int, int]]] = {
    "gtsrb": ("gtsrb32", (32, 32)),
    "cifar10": ("cifar10", (32, 32)),
    "tiny40": ("tiny40", (64, 64)),
}
"""Of the sets on disk: what the names of the files begin with, and (H, W) of an image."""

_SIGNS: dict[Part, tuple[int, int]] = {"train": (400, 1), "valid": (60, 2), "test": (60, 3)}
"""Images per class and seed of each part of the rendered signs."""


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, the true labels.
        source: file name, or how the images were rendered.
        sha256: digest of the file, or of the rendered images and labels.
    """

    images: Tensor
    labels: Tensor
    source: str
    sha256: str

    def __len__(self) -> int:
        return len(self.labels)


def load_splits(dataset: DataSet, folder: Path | None) -> Mapping[Part, Split]:
    """Loads all three parts of a data set.

    Args:
        dataset: which one.
        folder: where the zips of GTSRB, CIFAR-10 and Tiny-40 lie; the other sets need none.

    Raises:
        UsageError: a set on disk is asked for without a folder.
        DataError: the images cannot be read.
    """
    return {part: load_split(dataset, part, folder) for part in ("train", "valid", "test")}


def load_split(dataset: DataSet, part: Part, folder: Path | None) -> Split:
    """Loads one part of a data set.

    Args:
        dataset: which one.
        part: train, valid or test.
        folder: where `gtsrb32-PART.zip`, `cifar10-PART.zip` (ten classes of Krizhevsky 2009) and
            `tiny40-PART.zip` (every fifth class of Tiny ImageNet, Stanford CS231N) lie; the other
            sets need none.

    Raises:
        UsageError: a set on disk is asked for without a folder.
        DataError: the images cannot be read.
    """
    if dataset == "signs":
        return render_split(*_SIGNS[part])
    if dataset == "fashion":
        return read_fashion(FASHION, part)
    name, size = ZIPS[dataset]
    if folder is None:
        raise UsageError(f"this recipe trains on {name}: pass --data or set HARDEN_GTSRB")
    return read_split(folder / f"{name}-{part}.zip", size)


def read_split(path: Path, size: tuple[int, int]) -> Split:
    """Reads a labelled image set from disk, resized to (H, W).

    Raises:
        DataError: the images cannot be read.
    """
    source = open_images(path)
    images = np.empty((len(source), 3, *size), dtype=np.uint8)
    for batch in source.batches(size=size, channels=3, batch_size=512):
        images[batch.indices] = np.rint(batch.images * 255).astype(np.uint8)
    if source.unreadable:
        raise DataError(f"{path.name}: {len(source.unreadable)} unreadable pictures: fetch it anew")
    return Split(
        torch.from_numpy(images), torch.from_numpy(source.labels), path.name, source.sha256()
    )


def read_fashion(folder: Path, part: Part) -> Split:
    """Reads Fashion-MNIST from its four compressed files.

    The last 5,000 of the training images are the validation images.

    Args:
        folder: where they lie; Debian's package `dataset-fashion-mnist` puts them in `FASHION`.
        part: train, valid or test.

    Raises:
        DataError: a file is missing.

    Source: Xiao et al. 2017 (Fashion-MNIST, arXiv 1708.07747), section 2; the files' format is
    that of MNIST (LeCun et al. 1998).
    """
    name = "t10k" if part == "test" else "train"
    files = [folder / f"{name}-images-idx3-ubyte.gz", folder / f"{name}-labels-idx1-ubyte.gz"]
    for path in files:
        if not path.is_file():
            raise DataError(f"{path} is missing: install Debian's package dataset-fashion-mnist")
    pixels, labels = (gzip.decompress(path.read_bytes()) for path in files)
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    rows = {"train": slice(-5000), "valid": slice(-5000, None), "test": slice(None)}[part]
    return Split(
        torch.from_numpy(images[rows].copy()),
        torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8)[rows].astype(np.int64)),
        files[0].name,
        hashlib.sha256(pixels + labels).hexdigest(),
    )


def render_split(count_per_class: int, seed: int) -> Split:
    """Renders traffic signs, the same for the same arguments."""
    images, labels = render_signs(count_per_class, seed)
    digest = hashlib.sha256(images.tobytes() + labels.tobytes())
    return Split(
        torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
        torch.from_numpy(labels),
        f"render_signs(count_per_class={count_per_class}, seed={seed})",
        digest.hexdigest(),
    )
