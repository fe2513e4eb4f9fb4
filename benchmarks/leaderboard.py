"""Attack × architecture × method: what each way of hardening leaves, by the true trigger.

`python -m models.zoo` first. Every victim is scanned and hardened with validation images and the
default options, as a user would; the true trigger and the test images only report. Settings were
chosen on the development part of the victims alone, the test part only reports. A call that was
interrupted goes on where it stopped: rows are kept in the zoo's folder.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

import hardener
from benchmarks.rates import percent, rates
from benchmarks.setting import RESULTS, ROOT, commit, machine, write_results
from benchmarks.victims import COMMITTED, Victim, victims
from hardener.documents.scan import ScanResult
from hardener.errors import HardenError
from hardener.files import sha256_of, write_text
from hardener.scanning.saved import SCAN_FILE
from models.zoo import FOLDER, VICTIMS, part_of

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
    """One method on one victim, rates on its data set's test images.

    Attributes:
        outcome: what the command said; where nothing was written the rates are the victim's own.
        residual: what a repair says that is left of the attack, estimate and upper bound.
        rating: BackdoorBench's defence effectiveness rating, in [0, 1].
        seconds: of the hardening command.
        commit: of the code that hardened.
        without_trigger: how many of the same images go where the attack sends them without any
            trigger; None in rows that are older than this field.
    """

    victim: str
    seed: int
    method: str
    outcome: str
    accuracy: dict[str, float]
    attack_success_rate: dict[str, float] | None
    robust_accuracy: dict[str, float] | None
    residual: dict[str, float] | None
    rating: float | None
    seconds: float
    commit: str
    without_trigger: dict[str, float] | None = None


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
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what the results say of all other victims.")
    ] = False,
) -> None:
    """Hardens every victim that is there and writes benchmarks/results/leaderboard."""
    there = [
        victim
        for victim in victims(zoo.expanduser())
        if any(part in victim.name for part in only or ("",))
    ]
    if not there:
        sys.exit("no victim that is there is called so: run python -m models.zoo first")
    rows: list[Row] = []
    verdicts: dict[str, str] = {}
    for seed in range(seeds):
        for victim in there:
            rows += _victim(zoo.expanduser(), victim, seed, methods or METHODS, verdicts)
    ceilings = {one.name: rate for one in there if (rate := _ceiling(one)) is not None}
    if keep:
        kept = json.loads((RESULTS / "leaderboard.json").read_text(encoding="utf-8"))
        rows = _beside(kept["rows"], rows)
        verdicts = {**kept["verdicts"], **verdicts}
        ceilings = {**kept["ceilings"], **ceilings}
    known = {row.victim for row in rows}
    missing = [name for name in (*COMMITTED, *VICTIMS) if name not in known]
    document = {
        "machine": machine(),
        "verdicts": verdicts,
        "ceilings": ceilings,
        "missing": missing,
        "rows": [asdict(row) | {"part": part_of(row.victim)} for row in rows],
    }
    write_results("leaderboard", document, _markdown(rows, verdicts, ceilings, missing))


def _beside(kept: Sequence[dict[str, Any]], rows: Sequence[Row]) -> list[Row]:
    """The rows of victims that are not measured now, and those of now, in the order that was."""
    measured, names = {row.victim for row in rows}, [field.name for field in fields(Row)]
    others = [
        Row(**{name: row[name] for name in names if name in row})
        for row in kept
        if row["victim"] not in measured
    ]
    order = list(dict.fromkeys([row["victim"] for row in kept] + [row.victim for row in rows]))
    return sorted([*others, *rows], key=lambda row: order.index(row.victim))


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
    folder: Path, victim: Victim, seed: int, methods: Sequence[str], verdicts: dict[str, str]
) -> list[Row]:
    """Methods on one victim; what is there from an earlier call is read."""
    work = folder / "leaderboard" / f"{victim.name}-{seed}"
    kept = work / "rows.json"
    document = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    packages = machine()["packages"]
    made_by = {"model": sha256_of(victim.model), "packages": packages, "code": _code()[0]}
    if document and document.get("made_by") != made_by:
        sys.exit(f"{work} is of another model, other versions or other code: delete it")
    rows = {row["method"]: Row(**row) for row in document.get("rows", ())}
    if not {"none", *methods} <= set(rows):
        scanned = _scanned(victim, work / "scan", seed)
        targets = ", ".join(map(str, scanned.targets)) or "none"
        document["verdict"] = f"{scanned.verdict}, target {targets}, score {scanned.score:.2f}"
    verdicts[f"{victim.name} {seed}"] = document["verdict"]
    for method in METHODS:
        if method not in rows and method in ("none", *methods):
            rows[method] = _row(victim, seed, method, work, rows.get("none"))
            there = [asdict(rows[known]) for known in METHODS if known in rows]
            told = {"made_by": made_by, "verdict": document["verdict"], "rows": there}
            write_text(kept, json.dumps(told, indent=1))
    return [rows[method] for method in METHODS if method in rows]


def _scanned(victim: Victim, folder: Path, seed: int) -> ScanResult:
    if (folder / SCAN_FILE).is_file():
        return hardener.load_scan(folder)
    return hardener.scan(
        victim.model,
        victim.valid,
        folder,
        preprocessing=victim.preprocessing,
        provider="cpu",
        seed=seed,
    )


def _hardened(
    victim: Victim, method: str, work: Path, output: Path, seed: int
) -> tuple[str, dict[str, float] | None]:
    """Runs a method; gives its outcome, and what a repair says that is left."""
    command, _, criterion = method.partition(" ")
    if command == "none":
        return "as it came", None
    shared = victim.model, work / "scan", victim.valid, output
    how: dict[str, Any] = {"provider": "cpu", "seed": seed, "preprocessing": victim.preprocessing}
    if command != "repair":
        return hardener.prune(*shared, criterion=criterion or None, **how).outcome, None
    result = hardener.repair(*shared, **how)
    left = result.residual_success
    return result.outcome, left.model_dump() if left else None


def _row(victim: Victim, seed: int, method: str, work: Path, before: Row | None) -> Row:
    output = work / f"{method.replace(' ', '-')}.onnx"
    began = time.perf_counter()
    residual = None
    try:
        outcome, residual = _hardened(victim, method, work, output, seed)
    except HardenError as error:
        outcome = f"refused: {error}"
    seconds = round(time.perf_counter() - began, 1)
    if before is not None and outcome != "written":
        nothing = None if before.attack_success_rate is None else 0.5
        return replace(
            before,
            method=method,
            outcome=outcome,
            residual=residual,
            rating=nothing,
            seconds=seconds,
            commit=_code()[1],
        )
    told = rates(
        victim.model if before is None else output,
        victim.test,
        victim.attack,
        victim.preprocessing,
    )
    found = None
    if before is not None and told.attack_success is not None:
        found = rating(before, told.accuracy.value, told.attack_success.value)
    return Row(
        victim=victim.name,
        seed=seed,
        method=method,
        outcome=outcome,
        residual=residual,
        rating=found,
        seconds=seconds,
        commit=_code()[1],
        **told.as_json(),
    )


@cache
def _code() -> tuple[str, str]:
    """A digest of the package and the commit, of when it is first asked: files may change later.

    Rows of other code are not taken for this one's.
    """
    digests = [sha256_of(path) for path in sorted((ROOT / "hardener").rglob("*.py"))]
    return hashlib.sha256("".join(digests).encode()).hexdigest(), commit()


def _ceiling(victim: Victim) -> dict[str, float] | None:
    """Robust accuracy of the same network trained without the attack."""
    if victim.clean_twin is None or victim.attack is None:
        return None
    robust = rates(victim.clean_twin, victim.test, victim.attack).robust_accuracy
    return robust.model_dump() if robust else None


def _summary(rows: Sequence[Row], part: str) -> list[str]:
    """What the repair came to on one part."""
    own = [row for row in rows if part_of(row.victim) == part and row.attack_success_rate]
    repaired = [row for row in own if row.method == "repair"]
    written = [row for row in repaired if row.outcome == "written"]
    if not written:
        return []
    before = {(row.victim, row.seed): row for row in own if row.method == "none"}
    success = [100 * _value(row.attack_success_rate) for row in written]
    lost = [
        100 * (before[row.victim, row.seed].accuracy["value"] - row.accuracy["value"])
        for row in written
    ]
    held = sum(
        row.residual is not None and _value(row.attack_success_rate) <= row.residual["upper"]
        for row in written
    )
    return [
        f"{part.capitalize()} part, repair: {len(written)} of {len(repaired)} runs written; "
        f"attack success {median(success):.2f} in the median and {max(success):.2f} at worst, "
        f"accuracy lost {median(lost):.2f} in the median and {max(lost):.2f} at worst; the printed "
        f"upper bound held on {held} of {len(written)}.",
        "",
    ]


def _value(rate: dict[str, float] | None) -> float:
    return rate["value"] if rate else 0.0


def _markdown(
    rows: Iterable[Row],
    verdicts: dict[str, str],
    ceilings: dict[str, dict[str, float]],
    missing: list[str],
) -> str:
    rows = list(rows)
    lines = [
        "All test images of each victim's data set, true trigger; % with 95 % interval. Validation",
        "images and synthetic triggers alone chose; every method with its default options. Left is",
        "what a repair itself says: estimate and upper bound of the attack success. Without",
        "trigger is how many of the same images go to the target label as they are. Seconds are of",
        "the hardening command, after the scan. Where nothing was written the rates are the",
        "victim's own.",
        "",
        *_summary(rows, "test"),
        *_summary(rows, "development"),
        "| victim | part | seed | method | outcome | accuracy | attack success "
        "| without trigger | left | robust accuracy | DER | seconds |",
        "| --- " * 12 + "|",
    ]
    for row in rows:
        cells = [row.victim, part_of(row.victim), str(row.seed), row.method, row.outcome]
        cells += [percent(rate) for rate in (row.accuracy, row.attack_success_rate)]
        cells.append(percent(row.without_trigger))
        left = row.residual
        cells.append(f"{100 * left['estimate']:.1f}, {100 * left['upper']:.1f}" if left else "")
        cells += [percent(row.robust_accuracy), "" if row.rating is None else f"{row.rating:.3f}"]
        cells.append(f"{row.seconds:.0f}")
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
    if missing:
        lines += ["", f"Not measured: {', '.join(missing)}."]
    methods = [method for method in METHODS if method not in {row.method for row in rows}]
    if methods:
        lines += ["", f"Methods not measured: {', '.join(methods)}."]
    return "\n".join(lines) + "\n" + PUBLISHED


if __name__ == "__main__":
    typer.run(main)
