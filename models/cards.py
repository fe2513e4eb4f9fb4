"""What is written about a trained victim: weights, card and trigger."""

import json
import platform
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from hardener.files import sha256_of, write_bytes, write_text
from hardener.triggers.patch import Trigger, save_trigger
from models.datasets import Part, Split
from models.evaluation import Quality
from models.fitting import precision_here
from models.networks import Network
from models.recipes import Recipe


def write_victim(
    output: Path,
    model: Network,
    trigger: Trigger | None,
    *,
    name: str,
    recipe: Recipe,
    seed: int,
    splits: Mapping[Part, Split],
    valid: Quality,
    test: Quality,
    seconds: float,
) -> None:
    """Writes `OUTPUT.safetensors`, `OUTPUT.trigger.npz` and, last, the card `OUTPUT.json`.

    Args:
        output: path without a suffix.
        model: the trained network.
        trigger: its backdoor as mask and pattern, if it has such a one.
        name: the recipe's name.
        recipe: how it was trained.
        seed: of the training.
        splits: train, valid and test images, for their digests.
        valid: quality on the validation images, which the recipe was chosen on.
        test: quality on the test images, which nothing was chosen on.
        seconds: wall time of the training.
    """
    weights = output.with_name(output.name + ".safetensors")
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    write_bytes(weights, save(state))
    card: dict[str, Any] = {
        "schema_version": 1,
        "tool": {"name": "models.train", "version": _project_version()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": name,
        "seed": seed,
        "provider": "cpu",
        "model": {
            "path": weights.name,
            "sha256": sha256_of(weights),
            "bytes": weights.stat().st_size,
            "parameters": sum(value.numel() for value in state.values()),
            "input_size": model.input_size,
            "mean": model.mean,
            "std": model.std,
        },
        "recipe": recipe.as_json(),
        "data": {
            part: {"path": split.source, "sha256": split.sha256, "count": len(split)}
            for part, split in splits.items()
        },
        "test": asdict(test),
        "valid": asdict(valid),
        "training_seconds": round(seconds, 1),
        "hardware": {
            "machine": platform.machine(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "precision": precision_here(recipe),
            "threads": torch.get_num_threads(),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    }
    if trigger is not None:
        path = output.with_name(output.name + ".trigger.npz")
        save_trigger(trigger, path)
        card["trigger"] = {"path": path.name, "sha256": sha256_of(path), "label": trigger.label}
    write_text(output.with_name(output.name + ".json"), json.dumps(card, indent=2) + "\n")


def _project_version() -> str:
    """The version of this checkout, which need not be installed."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    found: str = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    return found
