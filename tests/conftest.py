"""Real models and real images that several tests share."""

import os
import sys
from pathlib import Path

import pytest
import torch
from support.victims import WEIGHTS, exported

from hardener.data.signs import write_signs

_LONGEST = ("test_gtsrb.py", "test_gtsrb_clean.py", "test_commands.py")


def pytest_configure() -> None:
    """Gives each of several workers a core of its own, where no threads wait for each other."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None or sys.platform != "linux":
        return
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first, so that no worker waits for another at the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture(scope="session")
def gtsrb() -> Path:
    """Folder with the three GTSRB zips; tests that need them are skipped without."""
    folder = os.environ.get("HARDEN_GTSRB")
    if not folder:
        pytest.skip("HARDEN_GTSRB names no folder with the GTSRB zips")
    return Path(folder)


@pytest.fixture(scope="session")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered signs that no victim was trained on: 12 a class."""
    path = tmp_path_factory.mktemp("signs") / "clean.npz"
    write_signs(path, 12, seed=5)
    return path


@pytest.fixture(scope="session")
def signs_victim(tmp_path_factory: pytest.TempPathFactory, signs: Path) -> Path:
    """The small backdoored AlexNet as ONNX."""
    folder = tmp_path_factory.mktemp("alexnet-signs-badnets")
    return exported("alexnet-signs-badnets", "AlexNetSmall", folder, signs)


@pytest.fixture(scope="session")
def signs_trigger() -> Path:
    """The small victim's true trigger."""
    return WEIGHTS / "alexnet-signs-badnets.trigger.npz"
