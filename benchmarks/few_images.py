"""What scanning and repairing with few clean images costs.

`python -m models.zoo` first. Scan and repair get the same few validation images of every class
and no others; the true trigger and the test images only report.
"""

import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import hardener
from benchmarks.rates import percent, rates
from benchmarks.setting import gtsrb, machine, write_results
from models.datasets import load_split
from models.recipes import RECIPES
from models.zoo import FOLDER

VICTIMS = ("resnet-gtsrb-badnets", "resnet-gtsrb-blended", "resnet-gtsrb-vanilla")
IMAGES_PER_CLASS = (10, 25)


def main(zoo: Annotated[Path, typer.Option(help="Folder of the victims.")] = FOLDER) -> None:
    """Scans and repairs from few images and writes benchmarks/results/few_images."""
    folder, rows = zoo.expanduser(), []
    with tempfile.TemporaryDirectory() as work:
        for count in IMAGES_PER_CLASS:
            data = Path(work) / f"{count}.npz"
            images = _write_few(data, count)
            for name in VICTIMS:
                row = _row(folder / f"{name}.onnx", name, data, Path(work) / f"{name}-{count}")
                rows.append({"images_per_class": count, "images": images, **row})
                print(rows[-1], flush=True)
    document = {"machine": machine(), "rows": rows}
    write_results("few_images", document, _markdown(rows))


def _write_few(path: Path, count: int) -> int:
    """So many validation images of every class, drawn by seed 0; how many in all."""
    split = load_split("gtsrb", "valid", gtsrb())
    labels, rng = split.labels.numpy(), np.random.default_rng(0)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels)]
    )
    images = split.images.numpy()[chosen].transpose(0, 2, 3, 1)
    np.savez(path, images=np.ascontiguousarray(images), labels=labels[chosen])
    return len(chosen)


def _row(model: Path, name: str, data: Path, work: Path) -> dict[str, Any]:
    began = time.perf_counter()
    scanned = hardener.scan(model, data, work / "scan", provider="cpu")
    output = work / "repaired.onnx"
    repaired = hardener.repair(model, work / "scan", data, output, provider="cpu")
    seconds = time.perf_counter() - began
    attack = RECIPES[name].attack
    row: dict[str, Any] = {
        "victim": name,
        "verdict": scanned.verdict,
        "targets": scanned.targets,
        "outcome": repaired.outcome,
        "seconds": round(seconds, 1),
    }
    for word, written in (("before", model), ("after", output)):
        there = written if written.is_file() else model
        row[word] = rates(there, gtsrb() / "gtsrb32-test.zip", attack).as_json()
    return row


def _markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    lines = [
        "GTSRB: scan and repair from few validation images a class, by default options; rates on",
        "the 12,630 test images with the true trigger, % with 95 % interval. Where nothing was",
        "written they are the victim's own.",
        "",
        "| victim | images a class | images | scan | repair | accuracy before | after "
        "| attack success before | after | robust accuracy after | seconds |",
        "| --- " * 11 + "|",
    ]
    for row in rows:
        before, after = row["before"], row["after"]
        cells = [row["victim"], str(row["images_per_class"]), str(row["images"])]
        cells += [row["verdict"], row["outcome"]]
        cells += [percent(before["accuracy"]), percent(after["accuracy"])]
        cells += [percent(before["attack_success_rate"]), percent(after["attack_success_rate"])]
        cells += [percent(after["robust_accuracy"]), f"{row['seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
