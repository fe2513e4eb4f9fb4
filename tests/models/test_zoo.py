import dataclasses
from collections.abc import Iterator
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

NAME = "mobilenet-gtsrb-two-targets"
APP = typer.Typer()
APP.command()(zoo.main)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Few rendered signs and one epoch in the place of GTSRB."""

    def few_signs(_dataset: str, _folder: Path | None) -> dict[str, Split]:
        return {part: render_split(1, seed=len(part)) for part in ("train", "valid", "test")}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "load_splits", few_signs)
        patch.setitem(RECIPES, NAME, dataclasses.replace(RECIPES[NAME], epochs=1))
        yield


@pytest.fixture(scope="module")
def made(small: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, str]:
    """The folder of a zoo of one, and how the command ended."""
    folder = tmp_path_factory.mktemp("zoo")
    return folder, *run("--zoo", str(folder), "--only", NAME)


def run(*arguments: str) -> tuple[int, str]:
    threads = str(torch.get_num_threads())  # main sets them for the whole process
    result = CliRunner().invoke(APP, [*arguments, "--threads", threads])
    return result.exit_code, result.stderr


def test_a_victim_has_all_its_files_and_is_not_trained_twice(made: tuple[Path, int, str]) -> None:
    folder, code, text = made
    assert (code, text.count("epoch 1/1")) == (0, 1)
    endings = {path.name.removeprefix(NAME) for path in folder.glob(f"{NAME}.*")}
    assert endings == {".json", ".onnx", ".safetensors"}
    session = onnxruntime.InferenceSession(str(folder / f"{NAME}.onnx"))
    (logits,) = session.run(None, {"images": np.zeros((3, 3, 32, 32), np.float32)})
    assert logits.shape == (3, 43)
    assert run("--zoo", str(folder), "--only", NAME) == (0, f"{NAME} is there\n")


def test_what_is_changed_or_missing_is_not_finished(made: tuple[Path, int, str]) -> None:
    victim, recipe = made[0] / NAME, RECIPES[NAME]
    assert zoo.is_finished(victim, recipe, seed=0)
    assert not zoo.is_finished(victim, recipe, seed=1)
    assert not zoo.is_finished(victim, dataclasses.replace(recipe, epochs=2), seed=0)
    for ending in (".onnx", ".json", ".safetensors"):
        path = made[0] / f"{NAME}{ending}"
        path.rename(made[0] / "elsewhere")
        assert not zoo.is_finished(victim, recipe, seed=0)
        (made[0] / "elsewhere").rename(path)
    weights = made[0] / f"{NAME}.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert not zoo.is_finished(victim, recipe, seed=0)


def test_every_name_is_a_recipe_once_and_comes_after_what_it_starts_from() -> None:
    assert len(set(zoo.VICTIMS)) == len(zoo.VICTIMS)
    for place, name in enumerate(zoo.VICTIMS):
        source = RECIPES[name].source
        assert source is None or source in (*zoo.VICTIMS[:place], "alexnet-gtsrb-vanilla")


def test_every_backdoored_victim_has_a_clean_twin() -> None:
    for name in zoo.VICTIMS:
        network = "-".join(name.split("-")[:2])
        committed = network == "alexnet-gtsrb"  # in models/weights
        assert committed or f"{network}-vanilla" in zoo.VICTIMS


def test_a_third_of_the_victims_is_held_back_and_the_part_follows_from_the_name() -> None:
    held = [name for name in zoo.VICTIMS if zoo.part_of(name) == "test"]
    assert len(zoo.VICTIMS) / 4 < len(held) < len(zoo.VICTIMS) / 2
    assert sum(name.endswith("vanilla") for name in held) >= 4
    assert zoo.part_of("vgg-cifar-blended") == "test"
    assert zoo.part_of("resnet-gtsrb-wanet") == zoo.part_of("p01") == "development"


def test_unknown_part_of_a_name_is_one_line_and_exit_2(tmp_path: Path) -> None:
    code, text = run("--zoo", str(tmp_path), "--only", "perceptron")
    assert code == 2
    assert "no victim is called so" in text
    assert len(text.strip().splitlines()) == 1
