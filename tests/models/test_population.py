from pathlib import Path

import pytest
import torch

from hardener.errors import DataError
from models.datasets import FASHION, read_fashion
from models.population import MEMBERS
from models.recipes import RECIPES


def test_half_of_the_population_is_clean_and_it_is_wide() -> None:
    clean = [member for member in MEMBERS if member.name.endswith("vanilla")]
    assert len(MEMBERS) >= 40
    assert 0.4 <= len(clean) / len(MEMBERS) <= 0.6
    assert len(set(MEMBERS)) == len(MEMBERS)
    assert len({member.name.split("-")[0] for member in MEMBERS}) >= 4
    assert {RECIPES[member.name].dataset for member in MEMBERS} == {"gtsrb", "signs", "fashion"}


@pytest.mark.parametrize("network", ["alexnet", "resnet", "vgg", "mobilenet"])
def test_networks_for_fashion_take_grey_images_of_28_pixels(network: str) -> None:
    model = RECIPES[f"{network}-fashion-vanilla"].architecture().eval()
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.skipif(not FASHION.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_is_split_in_three() -> None:
    sizes = [len(read_fashion(FASHION, part)) for part in ("train", "valid", "test")]
    assert sizes == [55_000, 5_000, 10_000]


def test_fashion_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dataset-fashion-mnist"):
        read_fashion(tmp_path, "train")
