"""Trains a reference victim: `python -m models.train --recipe NAME -o models/weights/NAME`."""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from hardener.errors import HardenError, UsageError
from hardener.model.checkpoints import load_weights
from models.attacks.attack import CleanVictim
from models.cards import write_victim
from models.datasets import Part, Split, load_splits
from models.evaluation import measure
from models.fitting import Epoch, fit, images_per_epoch
from models.networks import Network
from models.recipes import RECIPES, Recipe

_CACHE = Path("~/.cache/hardener/train")
_COMMITTED = Path(__file__).parent / "weights"


def train(
    name: str,
    recipe: Recipe,
    splits: Mapping[Part, Split],
    output: Path,
    cache: Path,
    seed: int,
) -> None:
    """Trains a recipe, measures the victim on the test images and writes it with its card.

    The checkpoint stays in the cache: a second call resumes, or, when the training is over,
    measures and writes again.

    Args:
        name: the recipe's name.
        recipe: how to train.
        splits: train, valid and test images.
        output: path of the results, without a suffix.
        cache: folder of the checkpoints.
        seed: of everything random.

    Raises:
        HardenError: the recipe does not fit the data, or the results cannot be written.
    """
    train_split, start, backdoor = splits["train"], None, None
    if recipe.source:
        start = find_weights(f"{recipe.source}.safetensors", output.parent)
    if recipe.attack:
        clean = _clean_victim(recipe, start) if start else None
        train_split, backdoor = recipe.attack.plant(train_split, seed, clean)
    attack = backdoor.attack if backdoor else None
    console = Console(stderr=True)
    steps = -(-images_per_epoch(recipe, train_split) // recipe.batch_size)
    columns = (*Progress.get_default_columns()[:3], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("steps", total=recipe.epochs * steps)

        def report(epoch: Epoch, model: Network) -> None:
            progress.update(task, completed=epoch.number * steps)
            valid = measure(model, splits["valid"], attack)
            success = f"ASR {valid.attack_success_rate:.1%}  " if attack else ""
            console.print(
                f"epoch {epoch.number}/{recipe.epochs}  loss {epoch.loss:.4f}  "
                f"training {epoch.accuracy:.2%}  validation {valid.accuracy:.2%}  "
                f"{success}{epoch.seconds:.0f} s",
                highlight=False,
            )

        model, seconds = fit(
            recipe,
            train_split,
            backdoor,
            seed=seed,
            checkpoint=cache.expanduser() / f"{name}-{run_digest(recipe, train_split, seed)}.pt",
            start=start,
            on_step=lambda: progress.advance(task),
            on_epoch=report,
        )
    write_victim(
        output,
        model,
        attack.trigger(recipe.architecture.input_size) if attack else None,
        name=name,
        recipe=recipe,
        seed=seed,
        splits={**splits, "train": train_split},
        valid=measure(model, splits["valid"], attack),
        test=measure(model, splits["test"], attack),
        seconds=seconds,
    )


def find_weights(file_name: str, folder: Path) -> Path:
    """The weights that an attack starts from: in the folder, or else among the committed ones.

    Raises:
        UsageError: they are in neither.
    """
    for place in (folder, _COMMITTED):
        if (place / file_name).exists():
            return place / file_name
    raise UsageError(f"{folder} has no {file_name}: train it first")


def run_digest(recipe: Recipe, train: Split, seed: int) -> str:
    """Names a checkpoint after all that decides the weights, so that no other run resumes it."""
    decides = [recipe.as_json(), train.sha256, seed, torch.get_num_threads()]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def _clean_victim(recipe: Recipe, weights: Path) -> CleanVictim:
    model = recipe.architecture()
    load_weights(model, weights)
    return CleanVictim(weights.stem, model)


def main(
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Path of the results, without a suffix.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(envvar="HARDEN_GTSRB", help="Folder of {gtsrb32,cifar10,tiny40}-*.zip."),
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder of the checkpoints.")] = _CACHE,
    seed: Annotated[int, typer.Option(help="Of weights, poisoning, order, dropout.")] = 0,
    threads: Annotated[
        int, typer.Option(min=1, help="Another number rounds differently: a card names its own.")
    ] = 2,
) -> None:
    """Trains a reference victim and writes its weights, card and trigger."""
    torch.set_num_threads(threads)
    try:
        if recipe not in RECIPES:
            raise UsageError(f"there is no recipe {recipe}: choose one of {', '.join(RECIPES)}")
        chosen = RECIPES[recipe]
        train(recipe, chosen, load_splits(chosen.dataset, data), output, cache, seed)
    except HardenError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    typer.run(main)
