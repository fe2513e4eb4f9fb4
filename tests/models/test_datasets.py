import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hardener.errors import UsageError
from models.datasets import CLASSES, DataSet, load_split


def write(path: Path, side: int, classes: int) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for label in range(classes):
            picture = io.BytesIO()
            Image.new("RGB", (side, side), (label, 0, 255)).save(picture, "png")
            archive.writestr(f"{label:02}_name/1.png", picture.getvalue())


@pytest.mark.parametrize(("dataset", "side"), [("cifar10", 32), ("tiny40", 64)])
def test_sets_on_disk_come_as_bytes_with_their_labels(
    dataset: DataSet, side: int, tmp_path: Path
) -> None:
    write(tmp_path / f"{dataset}-valid.zip", side, CLASSES[dataset])
    split = load_split(dataset, "valid", tmp_path)
    assert split.images.shape == (CLASSES[dataset], 3, side, side)
    np.testing.assert_array_equal(split.labels, range(CLASSES[dataset]))
    np.testing.assert_array_equal(split.images[:, 0, 0, 0], split.labels)
    assert split.source == f"{dataset}-valid.zip"


def test_a_set_on_disk_needs_a_folder() -> None:
    with pytest.raises(UsageError, match="cifar10: pass --data"):
        load_split("cifar10", "train", None)
