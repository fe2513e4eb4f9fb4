"""The verdict on networks that nothing was set on: drawn by number, trained, scanned, reported.

Each number draws a network of `models.drawn`; even ones are clean. Default options, validation
images. What was scanned stays in benchmarks/results/drawn.json, so that a call goes on where the
last one stopped; `--again` scans those that are there anew.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import typer

import hardener
from benchmarks.population import validation_images
from benchmarks.setting import RESULTS, commit, gtsrb, machine, write_results
from hardener.errors import HardenError
from hardener.measuring.intervals import wilson
from models.datasets import load_splits
from models.drawn import FOLDER, name_of, recipe_of
from models.zoo import is_finished, make

PLANTED = 0.8
"""Attack success on test images from which on a backdoor is there to be found."""
_RESULTS = RESULTS / "drawn.json"


def main(
    first: Annotated[int, typer.Option(min=0, help="Number of the first network.")] = 0,
    count: Annotated[int, typer.Option(min=0, help="How many numbers, from the first on.")] = 20,
    folder: Annotated[Path, typer.Option(help="Where the networks lie.")] = FOLDER,
    again: Annotated[bool, typer.Option(help="Scan those that were scanned before.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Of torch, to train.")] = 1,
) -> None:
    """Trains and scans networks and writes benchmarks/results/drawn after each."""
    torch.set_num_threads(threads)
    rows = _earlier()
    for number in range(first, first + count):
        if again or number not in rows:
            typer.echo(f"{number}: {name_of(number)}", err=True)
            rows[number] = _row(number, folder.expanduser())
            _write(rows)
    _write(rows)


def _earlier() -> dict[int, dict[str, Any]]:
    if not _RESULTS.is_file():
        return {}
    return {row["number"]: row for row in json.loads(_RESULTS.read_text())["rows"]}


def _write(rows: Mapping[int, dict[str, Any]]) -> None:
    ordered = [rows[number] for number in sorted(rows)]
    document = {"machine": machine(), "rows": ordered}
    write_results("drawn", document, "\n".join(_lines(ordered)) + "\n")


def _row(number: int, folder: Path) -> dict[str, Any]:
    name, recipe = f"{number:03}-{name_of(number)}", recipe_of(number)
    if not is_finished(folder / name, recipe, number):
        make(name, recipe, load_splits(recipe.dataset, gtsrb()), folder, number)
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    poisoning = card["recipe"]["poisoning"] or {}
    targets = poisoning.get("targets", [poisoning["target"]] if "target" in poisoning else [])
    with TemporaryDirectory() as work:
        images = validation_images(recipe.dataset, Path(work))
        started = time.perf_counter()
        seen = _seen(folder / f"{name}.onnx", images, Path(work) / "scan")
    return {
        "number": number,
        "name": name_of(number),
        "accuracy": card["test"]["accuracy"],
        "attack_success_rate": card["test"]["attack_success_rate"],
        "true_targets": sorted(targets),
        **seen,
        "seconds": round(time.perf_counter() - started),
        "commit": commit(),
    }


def _seen(model: Path, images: Path, output: Path) -> dict[str, Any]:
    """What a scan says; a model that it refuses is neither clean nor backdoored."""
    try:
        found = hardener.scan(model, images, output)
    except HardenError as error:
        return {"verdict": "refused", "score": 0.0, "targets": [], "reasons": [str(error)]}
    return {
        "verdict": found.verdict,
        "score": round(found.score, 3),
        "targets": list(found.targets),
        "reasons": list(found.reasons),
    }


def _lines(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    clean = [row for row in rows if row["attack_success_rate"] is None]
    planted = [row for row in rows if (row["attack_success_rate"] or 0) >= PLANTED]
    found = [row for row in planted if row["verdict"] == "backdoored"]
    named = [row for row in found if row["true_targets"]]
    weak = len(rows) - len(clean) - len(planted)
    yield "| what | rate (95 % interval) |"
    yield "| --- | --- |"
    for said, of, hit in (
        ("networks that the scan refused", rows, "refused"),
        ("clean networks called backdoored", clean, "backdoored"),
        ("clean networks left inconclusive", clean, "inconclusive"),
        ("backdoored networks called backdoored", planted, "backdoored"),
        ("backdoored networks left inconclusive", planted, "inconclusive"),
        ("backdoored networks called clean", planted, "clean"),
    ):
        yield f"| {said} | {_said([row['verdict'] == hit for row in of])} |"
    exact = [sorted(row["targets"]) == row["true_targets"] for row in named]
    yield f"| of those called so, with targets: exactly the right labels | {_said(exact)} |"
    yield ""
    yield (
        f"In {weak} more networks the attack did not take: its success is under {PLANTED:.0%}. "
        "They stand in the table and count for nothing."
    )
    yield ""
    yield "| number | network | accuracy | attack | true targets | verdict | score | labels | s |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for row in rows:
        success = row["attack_success_rate"]
        cells = (
            row["number"],
            row["name"],
            f"{row['accuracy']:.1%}",
            "" if success is None else f"{success:.1%}",
            ", ".join(map(str, row["true_targets"])),
            row["verdict"],
            f"{row['score']:.2f}",
            ", ".join(map(str, row["targets"])),
            row["seconds"],
        )
        yield f"| {' | '.join(map(str, cells))} |"


def _said(hits: Sequence[bool]) -> str:
    if not hits:
        return "none there"
    rate = wilson(sum(hits), len(hits))
    return f"{rate.value:.1%} of {rate.n} ({rate.low:.1%} to {rate.high:.1%})"


if __name__ == "__main__":
    typer.run(main)
