"""At which rank screening has the true target, where all labels could be searched in full.

    HARDEN_GTSRB=... python -m benchmarks.screening MODEL.onnx=TARGET [...]

Of each backdoored model the target's rank among all labels, 1 being the most promising: by squares,
and by one round of the short search with so many steps and images, each with two seeds.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.setting import commit, gtsrb, machine, write_results
from hardener.data.splits import stratified_sample
from hardener.model.classifier import open_classifier
from hardener.model.gradients import differentiable
from hardener.scanning.competing import order_of_promise
from hardener.scanning.planning import Round
from hardener.scanning.screening import VALUES_AT_ONCE, Density, try_squares

BUDGETS = ((1, 1), (2, 1), (2, 2), (2, 4), (4, 4), (8, 8))
SEEDS = (0, 1)
_CPU = torch.device("cpu")
_IMAGES = 512


def main() -> None:
    """Measures and writes `results/screening`."""
    rows = [_row(Path(name), int(target)) for name, _, target in _named(sys.argv[1:])]
    head = ["model", "labels", "squares", *(f"{steps}x{images}" for steps, images in BUDGETS)]
    lines = [
        "# Where screening has the true target",
        "",
        "Its rank among all labels: by squares that stand a side apart, on 4 images, and by the "
        f"short search, steps x images a label, with seeds {', '.join(map(str, SEEDS))}.",
        "",
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
    ]
    document = {"machine": machine(), "commit": commit(), "rows": rows}
    write_results("screening", document, "\n".join(lines) + "\n")


def _named(arguments: list[str]) -> list[tuple[str, str, str]]:
    if not arguments:
        sys.exit(str(__doc__))
    return [argument.rpartition("=") for argument in arguments]


def _row(model: Path, target: int) -> dict[str, Any]:
    classifier = open_classifier(model)
    source = classifier.open_data(gtsrb() / "gtsrb32-valid.zip")
    images = classifier.images_of(source, stratified_sample(source.labels, _IMAGES, 0))
    network = differentiable(
        classifier.proto, classifier.signature, classifier.preprocessing.apply(images[:4])
    )
    labels = range(classifier.signature.classes)
    shared = network, images, classifier.preprocessing, labels
    best = try_squares(*shared, lambda _: None, _CPU, Density(1, 4)).best
    ranks = {
        f"{steps}x{number}": [
            order_of_promise(
                *shared, [Round(len(labels), steps, number)], seed, lambda _: None, _CPU,
                VALUES_AT_ONCE,
            ).tolist().index(target) + 1
            for seed in SEEDS
        ]
        for steps, number in BUDGETS
    }  # fmt: skip
    print(model.stem, ranks, int((best > best[target]).sum()) + 1, file=sys.stderr)
    name = f"{model.parent.name}/{model.stem}"
    return {
        "model": name,
        "labels": len(labels),
        "squares": int((best > best[target]).sum()) + 1,
        "ranks": ranks,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    found = (", ".join(map(str, ranks)) for ranks in row["ranks"].values())
    return [row["model"], str(row["labels"]), str(row["squares"]), *found]


if __name__ == "__main__":
    main()
