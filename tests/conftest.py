"""Real models and real images that several tests share."""

import os
from pathlib import Path

import pytest

from hardener.data.signs import CLASS_NAMES, write_signs
from hardener.model.exporting import export

MODELS = Path(__file__).resolve().parent.parent / "models"


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
    return _exported("alexnet-signs-badnets", "AlexNetSmall", tmp_path_factory, signs)


@pytest.fixture(scope="session")
def signs_trigger() -> Path:
    """The small victim's true trigger."""
    return MODELS / "weights" / "alexnet-signs-badnets.trigger.npz"


def _exported(name: str, architecture: str, factory: pytest.TempPathFactory, data: Path) -> Path:
    path = factory.mktemp(name) / f"{name}.onnx"
    export(
        MODELS / "weights" / f"{name}.safetensors",
        f"{MODELS / 'alexnet.py'}:{architecture}",
        path,
        class_names=CLASS_NAMES,
        data=data,
    )
    return path
