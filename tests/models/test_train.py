import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from models import train as command
from models.datasets import Split, render_split
from models.recipes import RECIPES, Recipe


def test_writes_weights_card_and_trigger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def few_signs(_dataset: str, part: str, _folder: Path | None) -> Split:
        return render_split(1, seed=len(part))

    monkeypatch.setattr(command, "load_split", few_signs)
    source = RECIPES["alexnet-signs-badnets"]
    recipe = Recipe(source.architecture, "signs", epochs=1, poisoning=source.poisoning)
    command.train("tiny", recipe, None, tmp_path / "v1.0" / "tiny.x", tmp_path / "cache", seed=0)

    written = sorted(path.name for path in (tmp_path / "v1.0").iterdir())
    assert written == [
        "tiny.x.json",
        "tiny.x.safetensors",
        "tiny.x.trigger.npz",
        "tiny.x.trigger.png",
    ]
    text = (tmp_path / "v1.0" / "tiny.x.json").read_text(encoding="utf-8")
    card = json.loads(text)
    assert card["data"]["train"]["count"] == 43
    assert 0 <= card["test"]["robust_accuracy"] <= 1
    assert card["trigger"]["label"] == 8
    assert str(tmp_path) not in text
    assert np.isfinite(card["training_seconds"])


@pytest.mark.parametrize(
    ("recipe", "mend"),
    [("lenet", "choose one of alexnet-gtsrb"), ("alexnet-gtsrb-vanilla", "HARDEN_GTSRB")],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(
    recipe: str, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARDEN_GTSRB", raising=False)
    app = typer.Typer()
    app.command()(command.main)
    threads = str(torch.get_num_threads())  # main sets them for the whole process
    arguments = ["--recipe", recipe, "-o", str(tmp_path / "victim"), "--threads", threads]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert mend in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
