import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner

from hardener.errors import UsageError
from hardener.model.checkpoints import load_weights
from hardener.triggers.patch import load_trigger
from models.attacks.trojaning import Trojaning
from models.datasets import Part, Split, render_split
from models.recipes import RECIPES
from models.resnet import ResNetSmall
from models.stamping import attack_of
from models.train import find_weights, main, train


def few_signs() -> dict[Part, Split]:
    parts: tuple[Part, ...] = ("train", "valid", "test")
    return {part: render_split(1, seed=len(part)) for part in parts}


def test_writes_weights_card_and_trigger(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPES["alexnet-signs-badnets"], epochs=1)
    train("tiny", recipe, few_signs(), tmp_path / "v1.0" / "tiny.x", tmp_path / "cache", seed=0)

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


def test_trojaning_reads_images_and_trigger_off_the_clean_victim(tmp_path: Path) -> None:
    name, source = "resnet-gtsrb-trojaning", "resnet-gtsrb-vanilla"
    save_file(ResNetSmall().state_dict(), tmp_path / f"{source}.safetensors")
    plan = Trojaning(target=8, images_per_class=1, image_steps=1, trigger_steps=1)
    recipe = dataclasses.replace(RECIPES[name], attack=plan, epochs=1)
    train(name, recipe, few_signs(), tmp_path / name, tmp_path / "cache", seed=0)

    card = json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8"))
    assert card["data"]["train"]["path"] == f"reverse_images({source}, seed=0)"
    assert card["data"]["train"]["count"] == 2 * 43
    start, trojaned = ResNetSmall(), ResNetSmall()
    load_weights(start, tmp_path / f"{source}.safetensors")
    load_weights(trojaned, tmp_path / f"{name}.safetensors")
    for key, value in start.features.state_dict().items():
        assert torch.equal(trojaned.features.state_dict()[key], value)
    attack = attack_of(name, tmp_path)
    assert attack is not None
    black = torch.zeros(1, 3, 32, 32)
    pattern = load_trigger(tmp_path / f"{name}.trigger.npz").pattern
    np.testing.assert_array_equal(attack.stamp(black)[0], pattern)


def test_a_clean_victim_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train it first"):
        find_weights("resnet-gtsrb-vanilla.safetensors", tmp_path)
    assert find_weights("alexnet-gtsrb-vanilla.safetensors", tmp_path).exists()


@pytest.mark.parametrize(
    ("recipe", "mend"),
    [("lenet", "choose one of alexnet-gtsrb"), ("alexnet-gtsrb-vanilla", "HARDEN_GTSRB")],
)
def test_what_cannot_be_done_is_one_line_and_exit_2(
    recipe: str, mend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HARDEN_GTSRB", raising=False)
    app = typer.Typer()
    app.command()(main)
    threads = str(torch.get_num_threads())  # main sets them for the whole process
    arguments = ["--recipe", recipe, "-o", str(tmp_path / "victim"), "--threads", threads]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert mend in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
