"""Attack × architecture × method: what each way of hardening leaves, by the true trigger.

`python -m models.zoo` first. Every victim is scanned and hardened with validation images and the
default options, as a user would; the true trigger and the test images only report. A call that
was interrupted goes on where it stopped: rows are kept in the zoo's folder. What the results hold
of victims and seeds that a call does not measure stays there.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

import hardener
from benchmarks.setting import RESULTS, ROOT, commit, exported, gtsrb, machine, write_results
from hardener.arrays import FloatArray, IntArray
from hardener.documents.rates import Rate
from hardener.errors import HardenError
from hardener.files import sha256_of, write_text
from hardener.measuring.intervals import wilson
from hardener.model.classifier import open_classifier, open_full
from hardener.model.runtime import Machine
from hardener.scanning.saved import SCAN_FILE
from models.attacks.attack import Attack
from models.recipes import RECIPES
from models.stamping import attack_of
from models.zoo import FOLDER, VICTIMS

COMMITTED = ("alexnet-gtsrb-badnets", "alexnet-gtsrb-vanilla")
"""Victims of `models/weights`, beside those of the zoo."""

METHODS = (
    "none",
    "prune",
    "prune fine-pruning",
    "prune clp",
    "prune anp",
    "prune rnp",
    "repair",
)
"""A word behind `prune` is its --criterion."""

PUBLISHED = """
Published numbers for orientation, from the BackdoorBench GTSRB leaderboard: other networks,
longer training, images of the training set for the defences, poisoning rate 10 %.

| network | attack | method | accuracy | attack success | robust accuracy |
| --- | --- | --- | --- | --- | --- |
| VGG19-BN | BadNets | none | 97.28 | 93.44 | |
| VGG19-BN | BadNets | FT | 97.60 | 46.39 | |
| VGG19-BN | BadNets | FP | 97.66 | 0.00 | 74.21 |
| VGG19-BN | BadNets | NAD | 97.41 | 89.80 | |
| VGG19-BN | BadNets | NC | 97.17 | 0.00 | 97.11 |
| VGG19-BN | BadNets | ANP | 96.91 | 0.00 | |
| VGG19-BN | BadNets | I-BAU | 96.37 | 3.41 | |
| PreAct-ResNet18 | blended | NC | 97.76 | 8.03 | |
| PreAct-ResNet18 | blended | I-BAU | 92.35 | 86.35 | |
| PreAct-ResNet18 | blended | ANP | 95.85 | 42.80 | |
| PreAct-ResNet18 | WaNet | NC | 98.25 | 0.00 | |
| PreAct-ResNet18 | SSBA | NC | 97.72 | 0.29 | |
"""


@dataclass(frozen=True)
class Row:
    """One method on one victim, rates on GTSRB's test images.

    Attributes:
        outcome: what the command said; where nothing was written the rates are the victim's own.
        rating: BackdoorBench's defence effectiveness rating, in [0, 1].
        seconds: of the hardening command.
        commit: of the code that hardened.
    """

    victim: str
    seed: int
    method: str
    outcome: str
    accuracy: dict[str, float]
    attack_success_rate: dict[str, float] | None
    robust_accuracy: dict[str, float] | None
    rating: float | None
    seconds: float
    commit: str


def main(
    zoo: Annotated[Path, typer.Option(help="Folder of the victims.")] = FOLDER,
    only: Annotated[
        list[str] | None, typer.Option(help="Victims whose name holds this; repeatable.")
    ] = None,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="Run these alone, beside what is there; repeatable."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Seeds of scan and method: 0 to this less 1.")] = 1,
) -> None:
    """Hardens every victim that is there and writes benchmarks/results/leaderboard."""
    folder = zoo.expanduser()
    names = [name for name in (*COMMITTED, *VICTIMS) if any(part in name for part in only or ("",))]
    for name in set(COMMITTED).intersection(names):
        if not (folder / f"{name}.onnx").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            exported(name, folder)
    if not names:
        sys.exit(f"no victim is called so: there are {', '.join((*COMMITTED, *VICTIMS))}")
    there = [name for name in names if (folder / f"{name}.onnx").is_file()]
    rows: list[Row] = []
    verdicts: dict[str, str] = {}
    for seed in range(seeds):
        for name in there:
            rows += _victim(folder, name, seed, methods or METHODS, verdicts)
    ceilings = {name: rate for name in there if (rate := _ceiling(folder, name)) is not None}
    earlier = json.loads((RESULTS / "leaderboard.json").read_text(encoding="utf-8"))
    rows = _joined(rows, [Row(**row) for row in earlier["rows"]])
    verdicts = earlier["verdicts"] | verdicts
    ceilings = earlier["ceilings"] | ceilings
    measured = {row.victim for row in rows}
    missing = [name for name in (*COMMITTED, *VICTIMS) if name not in measured]
    document = {
        "machine": machine(),
        "verdicts": verdicts,
        "ceilings": ceilings,
        "missing": missing,
        "rows": [asdict(row) for row in rows],
    }
    write_results("leaderboard", document, _markdown(rows, verdicts, ceilings, missing))


def _joined(rows: Iterable[Row], earlier: Iterable[Row]) -> list[Row]:
    """This call's rows and the earlier ones that it has not measured, victim by victim."""
    found = {(row.victim, row.seed, row.method): row for row in (*earlier, *rows)}
    names = (*COMMITTED, *VICTIMS)
    return sorted(
        # Of victims that are no longer trained nothing is reported.
        (row for row in found.values() if row.victim in names),
        key=lambda row: (names.index(row.victim), row.seed, METHODS.index(row.method)),
    )


def rating(before: Row, accuracy: float, attack_success_rate: float) -> float:
    """Defence effectiveness rating in [0, 1].

    DER = (max(0, ΔASR) - max(0, ΔACC) + 1) / 2

    Source: Zhu et al. 2023 (arXiv 2304.11823), equation 9, as BackdoorBench reports it.
    """
    success = before.attack_success_rate or {"value": 0.0}
    fell = max(0.0, success["value"] - attack_success_rate)
    lost = max(0.0, before.accuracy["value"] - accuracy)
    return (fell - lost + 1) / 2


def _victim(
    folder: Path, name: str, seed: int, methods: Sequence[str], verdicts: dict[str, str]
) -> list[Row]:
    """Methods on one victim; what is there from an earlier call is read."""
    work = folder / "leaderboard" / f"{name}-{seed}"
    kept = work / "rows.json"
    document = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    model, clean = folder / f"{name}.onnx", gtsrb() / "gtsrb32-valid.zip"
    made_by = {"model": sha256_of(model), "packages": machine()["packages"], "code": _code()}
    if document and document.get("made_by") != made_by:
        sys.exit(f"{work} is of another model, other versions or other code: delete it")
    rows = {row["method"]: Row(**row) for row in document.get("rows", ())}
    if {"none", *methods} <= set(rows):
        verdicts[f"{name} {seed}"] = document["verdict"]
        return [rows[method] for method in METHODS if method in rows]
    scanned = (
        hardener.load_scan(work / "scan")
        if (work / "scan" / SCAN_FILE).is_file()
        else hardener.scan(model, clean, work / "scan", provider="cpu", seed=seed)
    )
    targets = ", ".join(map(str, scanned.targets)) or "none"
    verdict = f"{scanned.verdict}, target {targets}, score {scanned.score:.2f}"
    verdicts[f"{name} {seed}"] = verdict
    for method in METHODS:
        if method not in rows and method in ("none", *methods):
            harden = _hardening(method, model, work / "scan", clean, seed)
            rows[method] = _row(name, seed, method, model, harden, work, rows.get("none"))
            there = [asdict(rows[known]) for known in METHODS if known in rows]
            write_text(
                kept, json.dumps({"made_by": made_by, "verdict": verdict, "rows": there}, indent=1)
            )
    return [rows[method] for method in METHODS if method in rows]


def _hardening(
    method: str, model: Path, scan: Path, clean: Path, seed: int
) -> Callable[[Path], str]:
    """What a method does, given where to write: it says its outcome."""
    command, _, criterion = method.partition(" ")
    if command == "none":
        return lambda _: "as it came"
    if command == "repair":
        return lambda output: (
            hardener.repair(model, scan, clean, output, provider="cpu", seed=seed).outcome
        )
    return lambda output: (
        hardener.prune(
            model, scan, clean, output, criterion=criterion or None, provider="cpu", seed=seed
        ).outcome
    )


def _row(
    name: str,
    seed: int,
    method: str,
    model: Path,
    harden: Callable[[Path], str],
    work: Path,
    before: Row | None,
) -> Row:
    output = work / f"{method.replace(' ', '-')}.onnx"
    began = time.perf_counter()
    try:
        outcome = harden(output)
    except HardenError as error:
        outcome = f"refused: {error}"
    seconds = time.perf_counter() - began
    seconds = round(seconds, 1)
    if before is not None and outcome != "written":
        nothing = None if before.attack_success_rate is None else 0.5
        return replace(
            before,
            method=method,
            outcome=outcome,
            rating=nothing,
            seconds=seconds,
            commit=commit(),
        )
    accuracy, attacked, robust = rates(
        model if before is None else output,
        gtsrb() / "gtsrb32-test.zip",
        attack_of(name, model.parent),
    )
    found = None
    if before is not None and attacked is not None:
        found = rating(before, accuracy.value, attacked.value)
    return Row(
        victim=name,
        seed=seed,
        method=method,
        outcome=outcome,
        accuracy=accuracy.model_dump(),
        attack_success_rate=attacked.model_dump() if attacked else None,
        robust_accuracy=robust.model_dump() if robust else None,
        rating=found,
        seconds=seconds,
        commit=commit(),
    )


def _code() -> str:
    """A digest of the package, so that rows of other code are not taken for this one's."""
    digests = [sha256_of(path) for path in sorted((ROOT / "hardener").rglob("*.py"))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def rates(model: Path, data: Path, attack: object) -> tuple[Rate, Rate | None, Rate | None]:
    """Accuracy, attack success rate and robust accuracy on a set of images.

    The attack counts on images whose true label is not the one that it wants.
    """
    classifier = open_classifier(model)
    runner = open_full(classifier.proto, classifier.signature, Machine())
    source = classifier.open_data(data)

    def predicted(images: FloatArray) -> IntArray:
        labels: IntArray = runner.run(classifier.feeds(images))[0].argmax(axis=1)
        return labels[: len(images)]

    right = hits = kept = others = 0
    for batch in classifier.batches(source):
        right += int((predicted(batch.images) == batch.labels).sum())
        if not isinstance(attack, Attack):
            continue
        wanted = attack.wanted(torch.from_numpy(batch.labels)).numpy()
        counted = wanted != batch.labels
        stamped = attack.stamp(torch.from_numpy(batch.images)).numpy().astype(np.float32)
        said = predicted(stamped)
        others += int(counted.sum())
        hits += int((said == wanted)[counted].sum())
        kept += int((said == batch.labels)[counted].sum())
    accuracy = wilson(right, len(source))
    if not others:
        return accuracy, None, None
    return accuracy, wilson(hits, others), wilson(kept, others)


def _ceiling(folder: Path, name: str) -> dict[str, float] | None:
    """Robust accuracy of the same network trained without the attack."""
    attack = RECIPES[name].attack
    clean = folder / f"{name.split('-', maxsplit=1)[0]}-gtsrb-vanilla.onnx"
    if not isinstance(attack, Attack) or not clean.is_file():
        return None
    _, _, robust = rates(clean, gtsrb() / "gtsrb32-test.zip", attack)
    return robust.model_dump() if robust else None


def _markdown(
    rows: Iterable[Row],
    verdicts: dict[str, str],
    ceilings: dict[str, dict[str, float]],
    missing: list[str],
) -> str:
    lines = [
        "GTSRB, 12,630 test images, true trigger; % with 95 % interval. Validation images and",
        "synthetic triggers alone chose; every method with its default options. Seconds are of",
        "the hardening command, after the scan. Where nothing was written the rates are the",
        "victim's own.",
        "",
        "| victim | seed | method | outcome | accuracy | attack success | robust accuracy | DER "
        "| seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [row.victim, str(row.seed), row.method, row.outcome]
        cells += [
            percent(rate) for rate in (row.accuracy, row.attack_success_rate, row.robust_accuracy)
        ]
        cells += ["" if row.rating is None else f"{row.rating:.3f}", f"{row.seconds:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| victim and seed | scan |", "| --- | --- |"]
    lines += [f"| {name} | {verdict} |" for name, verdict in verdicts.items()]
    lines += [
        "",
        "What the trigger does to the same network trained without the attack: what an innocent",
        "network gives, no bound, as a repair also trains on stamped images and WaNet's victim was",
        "trained with gentler augmentation:",
        "",
        "| trigger of | robust accuracy |",
        "| --- | --- |",
        *(f"| {name} | {percent(rate)} |" for name, rate in ceilings.items()),
    ]
    lines += [
        "",
        "WaNet's victims are warped by a grid of 8 and strength 2, four times its paper's; the",
        "search for warps has a grid of 8 as well.",
    ]
    if missing:
        lines += ["", f"Not measured: {', '.join(missing)}."]
    methods = [method for method in METHODS if method not in {row.method for row in rows}]
    if methods:
        lines += ["", f"Methods not measured: {', '.join(methods)}."]
    return "\n".join(lines) + "\n" + PUBLISHED


def percent(rate: dict[str, float] | None) -> str:
    """A rate with its interval, in percent; nothing where there is none."""
    if rate is None:
        return ""
    value, low, high = (100 * rate[name] for name in ("value", "low", "high"))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    typer.run(main)
