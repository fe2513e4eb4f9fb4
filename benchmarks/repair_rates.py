"""Learning rates of the repair, compared by what a defender sees.

`python -m models.zoo` and `python -m benchmarks.leaderboard` first: their victims and scans are
used. Every way of raising the rate from round to round repairs every victim. Only validation
images and synthetic triggers are looked at; no true trigger is opened. `best_way` says which
wins.
"""

import dataclasses
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnx
import typer
from onnx import numpy_helper

import hardener
from benchmarks.setting import gtsrb, machine, write_results
from hardener.files import write_text
from hardener.repairing.choice import small_trigger_left
from hardener.repairing.distillation import DISTILLATION
from models.zoo import FOLDER

VICTIMS = (
    "resnet-gtsrb-badnets",
    "vgg-gtsrb-badnets",
    "mobilenet-gtsrb-badnets",
    "alexnet-gtsrb-badnets",
    "resnet-gtsrb-blended",
    "resnet-gtsrb-sig",
)

WAYS = {
    f"{first:g} to {last:g}": dataclasses.replace(
        DISTILLATION, peak_learning_rate=first, fastest=last
    )
    for first, last in ((5e-4, 2e-3), (1e-3, 1e-3), (2e-3, 2e-3))
}


def main(zoo: Annotated[Path, typer.Option(help="Folder of the victims.")] = FOLDER) -> None:
    """Repairs every victim in every way and writes benchmarks/results/repair_rates."""
    folder = zoo.expanduser()
    rows = [_row(folder, name, way) for name in VICTIMS for way in WAYS]
    chosen = best_way(rows)
    document = {"machine": machine(), "chosen": chosen, "rows": rows}
    write_results("repair_rates", document, _markdown(rows, chosen))


def best_way(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """The gentlest way that ends the attacks, None where none does.

    Allowed are ways that leave no small trigger on any victim and whose mean attack success rate
    is within a point of the lowest; of them the one that changes the weights least wins.
    """
    by_way = {
        way: [row for row in rows if row["way"] == way]
        for way in dict.fromkeys(row["way"] for row in rows)
    }
    ended = {way: own for way, own in by_way.items() if not any(row["small_left"] for row in own)}
    rates = {way: _mean(own, "attack_success_rate") for way, own in ended.items()}
    low_enough = [way for way, rate in rates.items() if rate <= min(rates.values()) + 0.01]
    return min(low_enough, key=lambda way: _mean(ended[way], "weight_change"), default=None)


def _mean(rows: Sequence[Mapping[str, Any]], field: str) -> float:
    return float(np.mean([row[field] for row in rows]))


def _row(folder: Path, name: str, way: str) -> dict[str, Any]:
    """One repair; what is there from an earlier call is read."""
    kept = folder / "repair_rates" / f"{name} {way}.json"
    if kept.is_file():
        return json.loads(kept.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as work:
        output, model = Path(work) / "repaired.onnx", folder / f"{name}.onnx"
        began = time.perf_counter()
        result = hardener.repair(
            model,
            folder / "leaderboard" / f"{name}-0" / "scan",
            gtsrb() / "gtsrb32-valid.zip",
            output,
            force=True,
            provider="cpu",
            distillation=WAYS[way],
        )
        seconds = time.perf_counter() - began
        change = weight_change(onnx.load(model), onnx.load(output))
    best = result.rounds[result.chosen_round or 0]
    row = {
        "victim": name,
        "way": way,
        "rounds": len(result.rounds) - 1,
        "small_left": small_trigger_left(best),
        "accuracy_lost": result.rounds[0].accuracy - best.accuracy,
        "attack_success_rate": best.attack_success_rate,
        "robust_accuracy": best.robust_accuracy,
        "patch_relative_size": best.patch_relative_size,
        "additive_relative_size": best.additive_relative_size,
        "weight_change": change,
        "seconds": round(seconds, 1),
    }
    kept.parent.mkdir(exist_ok=True)
    write_text(kept, json.dumps(row))
    print(row, flush=True)
    return row


def weight_change(before: onnx.ModelProto, after: onnx.ModelProto) -> float:
    """‖w - w₀‖₂ / ‖w₀‖₂ over all floating-point initializers that are no scalars."""
    old, new = (
        {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
        for proto in (before, after)
    )
    names = [name for name, value in old.items() if value.ndim and value.dtype.kind == "f"]
    moved = sum(float(np.square(new[name] - old[name], dtype=np.float64).sum()) for name in names)
    size = sum(float(np.square(old[name], dtype=np.float64).sum()) for name in names)
    return float(np.sqrt(moved / size))


def _markdown(rows: Sequence[Mapping[str, Any]], chosen: str | None) -> str:
    lines = [
        "GTSRB validation images and synthetic triggers alone; the round that was kept, on the",
        "images that choose. Learning rate: of the first round, doubled from round to round up to",
        "the second number. Left: smallest patch and faintest additive trigger that still work, of",
        "the scan's median.",
        "",
        "| victim | learning rate | rounds | small trigger left | accuracy lost | attack success "
        "| robust accuracy | patch left | additive left | weights changed by | seconds |",
        "| --- " * 11 + "|",
    ]
    for row in rows:
        cells = [
            row["victim"],
            row["way"],
            str(row["rounds"]),
            "yes" if row["small_left"] else "no",
        ]
        cells += [
            f"{100 * row[field]:.2f}"
            for field in ("accuracy_lost", "attack_success_rate", "robust_accuracy")
        ]
        cells += [
            "none" if row[field] is None else f"{row[field]:.2f}"
            for field in ("patch_relative_size", "additive_relative_size")
        ]
        cells += [f"{row['weight_change']:.3f}", f"{row['seconds']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    if chosen is None:
        lines += ["", "Every way leaves a small trigger on some victim."]
    else:
        lines += ["", f"The gentlest that ends the attacks: {chosen}."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)
