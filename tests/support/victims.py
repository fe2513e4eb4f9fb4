"""The victims of this repository as ONNX files."""

from dataclasses import replace
from pathlib import Path

from hardener.data.signs import CLASS_NAMES
from hardener.model.exporting import export
from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.searches.table import SEARCHES

_MODELS = Path(__file__).resolve().parents[2] / "models"
WEIGHTS = _MODELS / "weights"


def exported(
    name: str, architecture: str, folder: Path, data: Path, module: str = "alexnet.py"
) -> Path:
    """A victim that classifies traffic signs, exported to a folder.

    Args:
        name: of its weights.
        architecture: its class.
        folder: for `NAME.onnx`.
        data: images that the export is checked on.
        module: of `models`, where the class is.
    """
    path = folder / f"{name}.onnx"
    source = f"{_MODELS / module}:{architecture}"
    export(WEIGHTS / f"{name}.safetensors", source, path, class_names=CLASS_NAMES, data=data)
    return path


def small_budgets() -> dict[str, InversionSettings]:
    """Half of every search's steps, on fewer images: enough to tell a planted trigger from none."""
    return {
        kind: replace(
            search.settings,
            steps=search.settings.steps // 2,
            images_per_step=search.settings.images_per_step * 5 // 8,
        )
        for kind, search in SEARCHES.items()
    }
