"""Trains all victims: `python -m models.zoo`. A second call goes on where the first stopped."""

import json
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

from hardener.errors import HardenError, UsageError
from hardener.files import sha256_of
from hardener.model.exporting import export
from models.datasets import Part, Split, load_splits
from models.recipes import RECIPES, Recipe
from models.train import train

FOLDER = Path("~/.cache/hardener/zoo")

SPLIT_SEED = 20
"""Decides which victims are held back for reports: `part_of`."""

VICTIMS = (
    "resnet-gtsrb-blended-faint",
    "vgg-gtsrb-sig",
    "alexnet-gtsrb-blended",
    "vgg-cifar-blended",
    "resnet-cifar-badnets-checker",
    "resnet-gtsrb-wanet",
    "vgg-gtsrb-bpp",
    "alexnet-cifar-badnets",
    "resnet-gtsrb-wanet-published",
    "vgg-gtsrb-photo-filter",
    "vgg-gtsrb-adap-blend",
    "resnet-gtsrb-source-specific",
    "mobilenet-gtsrb-two-targets",
    "densenet-gtsrb-ftrojan",
    "resnet-gtsrb-input-aware",
    "efficientnet-gtsrb-badnets-checker",
    "resnet-gtsrb-all-to-all-blended",
    "resnet-tiny-badnets",
    "vgg-tiny-blended",
    "vit-gtsrb-blended",
    "mobilenet-gtsrb-adap-patch",
    "mobilenet-cifar-ftrojan",
    "densenet-gtsrb-low-frequency",
    "densenet-cifar-wanet",
    "efficientnet-cifar-bpp",
    "resnet-cifar-label-consistent",
    "vgg-cifar-all-to-all-blended",
    "mobilenet-tiny-photo-filter",
    "alexnet-gtsrb-sig",
    "alexnet-cifar-blended",
    "vgg-cifar-photo-filter",
    "densenet-cifar-blended",
    "mobilenet-gtsrb-blended",
    "resnet-cifar-blended",
    "resnet-cifar-sig",
    "vgg-cifar-sig",
    "vgg-cifar-all-to-all",
    "alexnet-cifar-all-to-all",
    "mobilenet-cifar-all-to-all",
    "vgg-cifar-all-to-all-wanet",
    "mobilenet-gtsrb-all-to-all-blended",
    "resnet-gtsrb-vanilla",
    "vgg-gtsrb-vanilla",
    "mobilenet-gtsrb-vanilla",
    "densenet-gtsrb-vanilla",
    "efficientnet-gtsrb-vanilla",
    "vit-gtsrb-vanilla",
    "vgg-cifar-vanilla",
    "resnet-cifar-vanilla",
    "alexnet-cifar-vanilla",
    "mobilenet-cifar-vanilla",
    "densenet-cifar-vanilla",
    "efficientnet-cifar-vanilla",
    "resnet-tiny-vanilla",
    "vgg-tiny-vanilla",
    "mobilenet-tiny-vanilla",
)
"""Recipes in the order in which they are trained: backdoored ones first, then their clean twins.

The two AlexNets of `models/weights` are not trained again.
"""


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Train those whose name holds this; repeatable.")
    ] = None,
    zoo: Annotated[Path, typer.Option(help="Folder of the victims and checkpoints.")] = FOLDER,
    data: Annotated[
        Path | None,
        typer.Option(envvar="HARDEN_GTSRB", help="Folder of {gtsrb32,cifar10,tiny40}-*.zip."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights, poisoning, order, dropout.")] = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="Another number rounds differently: a card names its own.")
    ] = 2,
) -> None:
    """Trains the victims that are not there yet and writes each with its card and ONNX file."""
    torch.set_num_threads(threads)
    folder = zoo.expanduser()
    try:
        names = [name for name in VICTIMS if any(part in name for part in only or ("",))]
        if not names:
            raise UsageError(f"no victim is called so: there are {', '.join(VICTIMS)}")
        for name in names:
            recipe = RECIPES[name]
            if is_finished(folder / name, recipe, seed):
                typer.echo(f"{name} is there", err=True)
            else:
                typer.echo(name, err=True)
                make(name, recipe, load_splits(recipe.dataset, data), folder, seed)
    except HardenError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


def part_of(name: str) -> Literal["development", "test"]:
    """In which part of the victims one is.

    Settings, thresholds and ideas are chosen on the development part alone; the test part, about
    a third, only reports. It follows from the name, so it stays as it is when victims are added.

    Args:
        name: of a recipe, or any other name of a network, such as one that others trained.
    """
    digest = sha256(f"{SPLIT_SEED} {name}".encode()).hexdigest()
    return "test" if int(digest[:8], 16) % 3 == 0 else "development"


def make(name: str, recipe: Recipe, splits: Mapping[Part, Split], folder: Path, seed: int) -> None:
    """Trains a victim and writes its weights, its card and its ONNX file.

    Args:
        name: of its files.
        recipe: how it is trained.
        splits: train, valid and test images of the recipe's data set.
        folder: for its files, and a folder `checkpoints`.
        seed: of the training.

    Raises:
        HardenError: the recipe does not fit the data, or the results cannot be written.
    """
    weights = folder / f"{name}.safetensors"
    # One of an earlier training would pass for this one's, were the export interrupted.
    (folder / f"{name}.onnx").unlink(missing_ok=True)
    train(name, recipe, splits, folder / name, folder / "checkpoints", seed)
    export(weights, recipe.as_json()["architecture"], folder / f"{name}.onnx")


def is_finished(victim: Path, recipe: Recipe, seed: int) -> bool:
    """Whether a victim's card, weights and ONNX file are there and come from this recipe.

    Args:
        victim: path of its files, without a suffix.
        recipe: how it is to be trained.
        seed: of the training.
    """
    card_path, weights, model = (
        victim.with_name(victim.name + suffix) for suffix in (".json", ".safetensors", ".onnx")
    )
    if not (card_path.exists() and weights.exists() and model.exists()):
        return False
    card: dict[str, Any] = json.loads(card_path.read_text(encoding="utf-8"))
    return (
        card["recipe"] == json.loads(json.dumps(recipe.as_json()))
        and card["seed"] == seed
        and card["model"]["sha256"] == sha256_of(weights)
    )


if __name__ == "__main__":
    typer.run(main)
