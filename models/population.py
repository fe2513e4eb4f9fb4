"""Trains the models that a verdict is calibrated on: `python -m models.population`.

Clean and backdoored networks of four architectures on three data sets. A second call goes on
where the first stopped. What a scan finds in them: `benchmarks/population.py`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from hardener.errors import HardenError, UsageError
from hardener.files import write_bytes
from hardener.model.exporting import export
from models.datasets import load_splits
from models.recipes import RECIPES
from models.zoo import is_finished, make

FOLDER = Path("~/.cache/hardener/population")
_COMMITTED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Member:
    """One model: its recipe's name and the seed of its training."""

    name: str
    seed: int

    @property
    def folder(self) -> str:
        """Under which folder of the population it lies: names repeat from seed to seed."""
        return f"seed-{self.seed}"

    @property
    def is_committed(self) -> bool:
        """Whether its weights are in this repository."""
        return self.seed == 0 and (_COMMITTED / f"{self.name}.safetensors").exists()


MEMBERS: tuple[Member, ...] = tuple(
    Member(name, seed)
    for name, seeds in (
        ("alexnet-gtsrb-vanilla", (0,)),
        ("alexnet-gtsrb-badnets", (0,)),
        ("alexnet-signs-vanilla", (0, 1)),
        ("alexnet-signs-badnets", (0,)),
        ("resnet-gtsrb-vanilla", (1, 2, 3)),
        ("vgg-gtsrb-vanilla", (1, 2)),
        ("mobilenet-gtsrb-vanilla", (1, 2)),
        ("resnet-signs-vanilla", (0, 1)),
        ("vgg-signs-vanilla", (0, 1)),
        ("mobilenet-signs-vanilla", (0, 1)),
        ("alexnet-fashion-vanilla", (0, 1)),
        ("resnet-fashion-vanilla", (0, 1)),
        ("vgg-fashion-vanilla", (0, 1)),
        ("mobilenet-fashion-vanilla", (0, 1)),
        ("resnet-gtsrb-badnets", (0,)),
        ("resnet-gtsrb-badnets-checker", (1,)),
        ("resnet-gtsrb-blended", (0,)),
        ("resnet-gtsrb-sig", (0,)),
        ("resnet-gtsrb-wanet", (0,)),
        ("resnet-gtsrb-low-frequency", (0,)),
        ("resnet-gtsrb-all-to-all", (0,)),
        ("resnet-gtsrb-two-targets", (0,)),
        ("resnet-gtsrb-source-specific", (0,)),
        ("vgg-gtsrb-badnets", (0,)),
        ("vgg-gtsrb-wanet", (0,)),
        ("mobilenet-gtsrb-badnets", (0,)),
        ("mobilenet-gtsrb-wanet", (0,)),
        ("alexnet-gtsrb-trojaning", (0,)),
        ("resnet-signs-blended", (0,)),
        ("resnet-signs-wanet", (0,)),
        ("vgg-signs-badnets-checker", (0,)),
        ("vgg-signs-sig", (0,)),
        ("mobilenet-signs-badnets", (0,)),
        ("mobilenet-signs-two-targets", (0,)),
        ("resnet-fashion-badnets", (0,)),
        ("resnet-fashion-all-to-all", (0,)),
        ("vgg-fashion-blended", (0,)),
        ("vgg-fashion-badnets-cross", (0,)),
        ("mobilenet-fashion-sig", (0,)),
        ("mobilenet-fashion-source-specific", (0,)),
        ("alexnet-fashion-badnets", (0,)),
        ("alexnet-fashion-wanet", (0,)),
    )
    for seed in seeds
)


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Train those whose name holds this; repeatable.")
    ] = None,
    population: Annotated[Path, typer.Option(help="Folder of the models.")] = FOLDER,
    data: Annotated[
        Path | None,
        typer.Option(envvar="HARDEN_GTSRB", help="Folder of gtsrb32-{train,valid,test}.zip."),
    ] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Another number rounds differently: a card names its own.")
    ] = 1,
) -> None:
    """Trains the models that are not there yet and writes each with its card and ONNX file."""
    torch.set_num_threads(threads)
    try:
        chosen = [member for member in MEMBERS if any(part in member.name for part in only or [""])]
        if not chosen:
            raise UsageError(f"no model is called so: there are {', '.join(_names())}")
        for member in chosen:
            typer.echo(f"{member.name}, seed {member.seed}", err=True)
            _make(member, population.expanduser(), data)
    except HardenError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


def _make(member: Member, population: Path, data: Path | None) -> None:
    folder, recipe = population / member.folder, RECIPES[member.name]
    if is_finished(folder / member.name, recipe, member.seed):
        return
    if not member.is_committed:
        make(member.name, recipe, load_splits(recipe.dataset, data), folder, member.seed)
        return
    for path in _COMMITTED.glob(f"{member.name}.*"):
        write_bytes(folder / path.name, path.read_bytes())
    export(
        folder / f"{member.name}.safetensors",
        recipe.as_json()["architecture"],
        folder / f"{member.name}.onnx",
    )


def _names() -> list[str]:
    return list(dict.fromkeys(member.name for member in MEMBERS))


if __name__ == "__main__":
    typer.run(main)
