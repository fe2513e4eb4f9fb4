"""The scan on networks that other people trained.

That the last layer's weights judge from 20 labels on was set with the clean ones in view, nothing
else.

Ten of them, five without a backdoor, from the `third-party/` of the data folder (its README tells
where they come from). Default options, validation images.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

import hardener
from benchmarks.setting import RESULTS, commit, gtsrb, machine, write_results
from benchmarks.victims import Victim, third_party
from hardener.errors import HardenError

_CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2471, 0.2435, 0.2616)}
_UNIT = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
_CLEAN = {
    "resnet_2b": _CIFAR,
    "resnet_4b": _CIFAR,
    "cifar10_small": _UNIT,
    "cifar10_medium": _UNIT,
    "cifar10_large": _UNIT,
}
"""Preprocessing of those that nobody put a backdoor into, by name."""


def main(
    only: Annotated[
        list[str] | None, typer.Option(help="Scan those whose name holds this; repeatable.")
    ] = None,
) -> None:
    """Scans them and writes benchmarks/results/third_party; what is not asked for stays."""
    earlier = json.loads((RESULTS / "third_party.json").read_text(encoding="utf-8"))["rows"]
    known = {row["network"]: row for row in earlier}
    with TemporaryDirectory() as work:
        rows = [
            _scanned(victim, Path(work))
            if any(part in victim.name for part in only or [""])
            else known[victim.name]
            for victim in _networks(Path(work))
        ]
    heads = [name.replace("_", " ") for name in rows[0]]
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    lines += [f"| {' | '.join(map(str, row.values()))} |" for row in rows]
    document = {"machine": machine(), "rows": rows}
    write_results("third_party", document, "\n".join(lines) + "\n")


def _networks(work: Path) -> Iterator[Victim]:
    yield from clean_networks()
    yield from third_party(gtsrb() / "third-party", work)


def clean_networks() -> Iterator[Victim]:
    """Those without a backdoor."""
    folder, data = gtsrb() / "third-party", gtsrb()
    for name, preprocessing in _CLEAN.items():
        valid, test = (data / f"cifar10-{part}.zip" for part in ("valid", "test"))
        yield Victim(name, folder / f"{name}.onnx", valid, test, None, (preprocessing,))


def _scanned(victim: Victim, work: Path) -> dict[str, object]:
    target = "" if victim.attack is None else getattr(victim.attack, "target", "")
    row: dict[str, object] = {"network": victim.name, "true_target": target}
    started = time.perf_counter()
    try:
        found = hardener.scan(
            victim.model, victim.valid, work / victim.name, preprocessing=victim.preprocessing
        )
    except HardenError as error:
        return row | {
            "verdict": f"refused: {error}",
            "score": "",
            "labels": "",
            "seconds": "",
            "commit": commit(),
        }
    return row | {
        "verdict": found.verdict,
        "score": f"{found.score:.2f}",
        "labels": ", ".join(map(str, found.targets)),
        "seconds": round(time.perf_counter() - started),
        "commit": commit(),
    }


if __name__ == "__main__":
    typer.run(main)
