import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import typer
from typer.testing import CliRunner

from models import zoo
from models.datasets import Split, render_split
from models.recipes import RECIPES

NAME = "mobilenet-gtsrb-badnets"
APP = typer.Typer()
APP.command()(zoo.main)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rendered signs and one epoch in the place of GTSRB."""

    def few_signs(_dataset: str, _folder: Path | None) -> dict[str, Split]:
        return {part: render_split(1, seed=len(part)) for part in ("train", "valid", "test")}

    monkeypatch.setattr(zoo, "load_splits", few_signs)
    monkeypatch.setitem(RECIPES, NAME, dataclasses.replace(RECIPES[NAME], epochs=1))


def run(*arguments: str) -> tuple[int, str]:
    threads = str(torch.get_num_threads())  # main sets them for the whole process
    result = CliRunner().invoke(APP, [*arguments, "--threads", threads])
    return result.exit_code, result.stderr


def test_a_victim_has_all_its_files_and_is_not_trained_twice(tmp_path: Path) -> None:
    code, text = run("--zoo", str(tmp_path), "--only", NAME)
    assert (code, text.count("epoch 1/1")) == (0, 1)
    endings = {path.name.removeprefix(NAME) for path in tmp_path.glob(f"{NAME}.*")}
    assert endings == {".json", ".onnx", ".safetensors", ".trigger.npz", ".trigger.png"}
    session = onnxruntime.InferenceSession(str(tmp_path / f"{NAME}.onnx"))
    (logits,) = session.run(None, {"images": np.zeros((3, 3, 32, 32), np.float32)})
    assert logits.shape == (3, 43)

    assert run("--zoo", str(tmp_path), "--only", NAME) == (0, f"{NAME} is there\n")


def test_what_is_changed_or_missing_is_not_finished(tmp_path: Path) -> None:
    assert run("--zoo", str(tmp_path), "--only", NAME)[0] == 0
    victim, recipe = tmp_path / NAME, RECIPES[NAME]
    assert zoo.is_finished(victim, recipe, seed=0)
    assert not zoo.is_finished(victim, recipe, seed=1)
    assert not zoo.is_finished(victim, dataclasses.replace(recipe, epochs=2), seed=0)
    (tmp_path / f"{NAME}.onnx").rename(tmp_path / "other.onnx")
    assert not zoo.is_finished(victim, recipe, seed=0)
    (tmp_path / "other.onnx").rename(tmp_path / f"{NAME}.onnx")
    (tmp_path / f"{NAME}.safetensors").write_bytes(b"")
    assert not zoo.is_finished(victim, recipe, seed=0)


def test_every_name_is_a_recipe_once_and_comes_after_what_it_starts_from() -> None:
    assert len(set(zoo.VICTIMS)) == len(zoo.VICTIMS)
    for place, name in enumerate(zoo.VICTIMS):
        source = RECIPES[name].source
        assert source is None or source in (*zoo.VICTIMS[:place], "alexnet-gtsrb-vanilla")


def test_unknown_part_of_a_name_is_one_line_and_exit_2(tmp_path: Path) -> None:
    code, text = run("--zoo", str(tmp_path), "--only", "lenet")
    assert code == 2
    assert "no victim is called so" in text
    assert len(text.strip().splitlines()) == 1
