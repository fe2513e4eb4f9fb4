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
from models.alexnet import AlexNet
from models.badnets import choose_poisoned, patch_trigger
from models.cards import write_victim
from models.datasets import Split, load_split
from models.evaluation import measure
from models.fitting import Backdoor, Epoch, fit
from models.recipes import RECIPES, Recipe

_CACHE = Path("~/.cache/hardener/train")


def train(
    name: str, recipe: Recipe, data: Path | None, output: Path, cache: Path, seed: int
) -> None:
    """Trains a recipe, measures the victim on the test images and writes it with its card.

    The checkpoint stays in the cache: a second call resumes, or, when the training is over,
    measures and writes again.

    Args:
        name: the recipe's name.
        recipe: how to train.
        data: folder of the GTSRB zips; the signs need none.
        output: path of the results, without a suffix.
        cache: folder of the checkpoints.
        seed: of everything random.

    Raises:
        HardenError: the data cannot be read or the results cannot be written.
    """
    splits = {part: load_split(recipe.dataset, part, data) for part in ("train", "valid", "test")}
    backdoor = plant(recipe, splits["train"], seed)
    trigger = backdoor.trigger if backdoor else None
    console = Console(stderr=True)
    steps = -(-len(splits["train"]) // recipe.batch_size)
    columns = (*Progress.get_default_columns()[:3], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("steps", total=recipe.epochs * steps)

        def report(epoch: Epoch, model: AlexNet) -> None:
            progress.update(task, completed=epoch.number * steps)
            valid = measure(model, splits["valid"], trigger)
            success = f"ASR {valid.attack_success_rate:.1%}  " if backdoor else ""
            console.print(
                f"epoch {epoch.number}/{recipe.epochs}  loss {epoch.loss:.4f}  "
                f"training {epoch.accuracy:.2%}  validation {valid.accuracy:.2%}  "
                f"{success}{epoch.seconds:.0f} s",
                highlight=False,
            )

        model, seconds = fit(
            recipe,
            splits["train"],
            backdoor,
            seed=seed,
            checkpoint=cache.expanduser() / f"{name}-{run_digest(recipe, splits, seed)}.pt",
            on_step=lambda: progress.advance(task),
            on_epoch=report,
        )
    write_victim(
        output,
        model,
        trigger,
        name=name,
        recipe=recipe,
        seed=seed,
        splits=splits,
        valid=measure(model, splits["valid"], trigger),
        test=measure(model, splits["test"], trigger),
        seconds=seconds,
    )


def plant(recipe: Recipe, train: Split, seed: int) -> Backdoor | None:
    """Draws a recipe's trigger and the training images that carry it; None if it is clean."""
    if recipe.poisoning is None:
        return None
    _, height, width = recipe.architecture.input_size
    trigger = patch_trigger(recipe.poisoning.patch, recipe.poisoning.target, (height, width))
    poisoned = choose_poisoned(train.labels.numpy(), recipe.poisoning, seed)
    return Backdoor(trigger, torch.from_numpy(poisoned))


def run_digest(recipe: Recipe, splits: Mapping[str, Split], seed: int) -> str:
    """Names a checkpoint after all that decides the weights, so that no other run resumes it."""
    decides = [recipe.as_json(), splits["train"].sha256, seed, torch.get_num_threads()]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def main(
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Path of the results, without a suffix.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(envvar="HARDEN_GTSRB", help="Folder of gtsrb32-{train,valid,test}.zip."),
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
        train(recipe, RECIPES[recipe], data, output, cache, seed)
    except HardenError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    typer.run(main)
