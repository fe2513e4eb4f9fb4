"""How far a verdict can be trusted: a scan of every model of the population, cross-validated.

`python -m models.population` first. Every model is scanned with validation images and the default
options; what a scan finds is kept beside the model, so that a call that was interrupted goes on
where it stopped, and in benchmarks/results/population.json, whose rows stay where a model is gone.
The curves that turn evidence into a score are fitted on all models but the one that is judged. With
`--calibrate` the curves of all models are written into the package.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer

import hardener
from benchmarks.setting import RESULTS, ROOT, commit, gtsrb, machine, write_results
from hardener.arrays import FloatArray
from hardener.data.signs import write_signs
from hardener.files import sha256_of, write_text
from hardener.measuring.intervals import wilson
from hardener.results import Rate, ScanResult, TriggerKind
from hardener.scanning.calibration import Calibration, Curve, Population, fit_curve
from hardener.scanning.verdict import (
    Evidence,
    Judgement,
    anomaly_indices,
    judge,
    relative_sizes,
    weights,
)
from hardener.scanning.without_images import margin_quantity, row_quantities
from models.datasets import load_split
from models.population import FOLDER, MEMBERS, Member
from models.recipes import RECIPES

CLEAN_BELOW, BACKDOORED_FROM = 0.4, 0.6
_KINDS: tuple[TriggerKind, ...] = ("patch", "additive", "warp")
_PACKAGED = ROOT / "hardener" / "scanning" / "calibration.json"

KIND_OF: Mapping[str, TriggerKind] = {
    "badnets": "patch",
    "badnets-checker": "patch",
    "badnets-cross": "patch",
    "two-targets": "patch",
    "trojaning": "patch",
    "blended": "additive",
    "sig": "additive",
    "low-frequency": "additive",
    "wanet": "warp",
}
"""Which kind of trigger describes an attack; its curve is fitted on those victims."""

ALL_TO_ONE = frozenset(KIND_OF) - {"two-targets", "wanet", "trojaning"}
"""Patch and blended attacks on one label."""


@dataclass(frozen=True)
class Row:
    """One model and what its scan found.

    Attributes:
        attack: name in the recipe; `vanilla` for a clean one.
        targets: its target labels; none where it has no fixed one.
        test: accuracy and attack success on the test images, from its card.
        sizes: of each kind of trigger, by label.
        success: likewise, on unseen images.
        scattered: of the most moving square.
        p_value: of the margins, and whose they are.
        row_indices: of the last layer.
        doubts: arguments of the verdict beside the evidence.
        commit: of the code that scanned.
    """

    name: str
    seed: int
    attack: str
    targets: list[int]
    test: dict[str, float | None]
    sizes: dict[str, list[float]]
    success: dict[str, list[float]]
    moving: dict[str, Any]
    p_value: float | None
    margin_suspect: int
    row_indices: list[float]
    doubts: dict[str, Any]
    seconds: float
    model_sha256: str
    commit: str

    @property
    def is_clean(self) -> bool:
        """Whether it was trained without a backdoor."""
        return self.attack == "vanilla"


def main(
    population: Annotated[Path, typer.Option(help="Folder of the models.")] = FOLDER,
    only: Annotated[
        list[str] | None, typer.Option(help="Scan those whose name holds this; repeatable.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option(help="Write the curves of all models into the package.")
    ] = False,
    collect: Annotated[
        str | None, typer.Option(help="I/N: scan every N-th model from the I-th on, and stop.")
    ] = None,
) -> None:
    """Scans every model that is there and writes benchmarks/results/population."""
    folder = population.expanduser()
    there = [m for m in MEMBERS if (folder / m.folder / f"{m.name}.onnx").is_file()]
    there = [m for m in there if any(part in m.name for part in only or [""])]
    if collect:
        first, step = map(int, collect.split("/"))
        there = there[first::step]
    with TemporaryDirectory() as work:
        rows = [_row(member, folder, Path(work)) for member in there]
    if collect:
        return
    rows = _with_earlier(rows)
    document, calibration = _document(rows)
    if calibrate:
        write_text(_PACKAGED, calibration.model_dump_json(indent=1) + "\n")
    write_results("population", document, _markdown(document))


def _row(member: Member, folder: Path, work: Path) -> Row:
    model = folder / member.folder / f"{member.name}.onnx"
    kept = model.with_suffix(".evidence.json")
    if kept.is_file():
        row = Row(**json.loads(kept.read_text(encoding="utf-8")))
        if row.model_sha256 == sha256_of(model):
            return row
    typer.echo(f"{member.name}, seed {member.seed}", err=True)
    started = time.perf_counter()
    result = hardener.scan(model, _images(RECIPES[member.name].dataset, work), work / "scan")
    row = _row_of(member, model, result, time.perf_counter() - started)
    write_text(kept, json.dumps(asdict(row)) + "\n")
    return row


def _row_of(member: Member, model: Path, result: ScanResult, seconds: float) -> Row:
    card = json.loads(model.with_suffix(".json").read_text(encoding="utf-8"))
    attack = member.name.split("-", 2)[2]
    poisoning = card["recipe"]["poisoning"] or {}
    targets = poisoning.get("targets", [poisoning["target"]] if "target" in poisoning else [])
    labels = result.searched
    margins, last = result.margins, result.last_layer
    moving = result.moving
    assert moving is not None  # a scan with images has it
    return Row(
        name=member.name,
        seed=member.seed,
        attack=attack,
        targets=list(targets),
        test={key: card["test"][key] for key in ("accuracy", "attack_success_rate")},
        sizes={
            "patch": _rounded(row.mask_l1 for row in labels),
            "additive": _rounded(row.additive.perturbation_l2 for row in labels),
            "warp": _rounded(row.warp.displacement_rms for row in labels),
        },
        success={
            "patch": _rounded(row.trigger_success_rate for row in labels),
            "additive": _rounded(row.additive.trigger_success_rate for row in labels),
            "warp": _rounded(row.warp.trigger_success_rate for row in labels),
        },
        moving=moving.model_dump(mode="json"),
        p_value=None if margins is None else margins.p_value,
        margin_suspect=-1 if margins is None else margins.suspect,
        row_indices=[] if last is None else _rounded(last.anomaly_indices),
        doubts={
            "accuracy": result.accuracy,
            "images": 0 if result.data is None else result.data.count,
            "pixels": int(np.prod(result.preprocessing.size)),
        },
        seconds=round(seconds, 1),
        model_sha256=sha256_of(model),
        commit=commit(),
    )


def _rounded(values: Any) -> list[float]:
    return [float(f"{value:.5g}") for value in values]


def _images(dataset: str, work: Path) -> Path:
    """Validation images of a data set, as a scan takes them."""
    if dataset == "gtsrb":
        return gtsrb() / "gtsrb32-valid.zip"
    path = work / f"{dataset}.npz"
    if dataset == "signs" and not path.exists():
        write_signs(path, 60, 2)
    if dataset == "fashion" and not path.exists():
        split = load_split("fashion", "valid", None)
        np.savez(path, images=split.images.numpy().transpose(0, 2, 3, 1), labels=split.labels)
    return path


def _with_earlier(rows: Sequence[Row]) -> list[Row]:
    """The rows of this call, and of models that are not there any more those of an earlier one."""
    earlier = RESULTS / "population.json"
    found = {}
    if earlier.is_file():
        kept = json.loads(earlier.read_text(encoding="utf-8"))["rows"]
        found = {(row["name"], row["seed"]): Row(**row) for row in kept}
    found |= {(row.name, row.seed): row for row in rows}
    order = [(member.name, member.seed) for member in MEMBERS]
    return [found[key] for key in order if key in found]
