"""The paper's Figures 1 to 5 on the committed AlexNets, and the README's picture.

    HARDEN_GTSRB=FOLDER python -m benchmarks.figures

Figures 1 to 4 come from a scan of the backdoored AlexNet on validation images and from a run of
it, beside the vanilla one, on test images; Figure 5 from the curves that `benchmarks.table1`
measured. The README's picture shows the backdoored AlexNet before and after `harden repair`.
"""

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import hardener
from benchmarks.setting import RESULTS, WEIGHTS, commit, exported, gtsrb, machine, write_results
from hardener.documents.scan import ScanResult
from hardener.reporting.drawing import BLUE, GREEN, ORANGE, PURPLE, Drawn, new_figure
from hardener.reporting.model_views import ModelView
from hardener.scanning.saved import load_of_kind
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

VICTIM, VANILLA = "alexnet-gtsrb-badnets", "alexnet-gtsrb-vanilla"
OTHERS = (14, 38)
"""Labels beside the target in Figure 1, as the paper has them."""
SEED = 0
SETTINGS = {
    "clean": (GREEN, "-"),
    "clean+ori": (BLUE, "--"),
    "clean+syn": (ORANGE, "-."),
    "clean+ori+syn": (PURPLE, ":"),
}


def main() -> None:
    """Scans, repairs, looks, draws."""
    folder = RESULTS / "figures"
    folder.mkdir(exist_ok=True)
    known = WEIGHTS / f"{VICTIM}.trigger.npz"
    clean, test = gtsrb() / "gtsrb32-valid.zip", gtsrb() / "gtsrb32-test.zip"
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        model, vanilla = exported(VICTIM, work), exported(VANILLA, work)
        scanned = hardener.scan(model, clean, work / "scan", provider="cpu", seed=SEED)
        repaired = hardener.repair(
            model, work / "scan", clean, work / "repaired.onnx", provider="cpu", seed=SEED
        )

        def look(beside: Path) -> ModelView:
            return hardener.exhibit(
                model, work / "scan", test, beside=beside, known_trigger=known, provider="cpu",
                seed=SEED,
            )  # fmt: skip

        shown, mended = look(vanilla), look(work / "repaired.onnx")
        load, began = os.getloadavg()[0], time.perf_counter()
        page = hardener.report(
            work / "scan", work / "report.html", hardened=work / "repaired.json", model=model,
            data=clean, known_trigger=known, provider="cpu", seed=SEED,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        triggers = _triggers(work / "scan", scanned, hardener.load_trigger(known))
    drawn = {
        "figure-1": hardener.figures.pictures(triggers, "Original and synthetic triggers"),
        "figure-2": hardener.figures.attention(shown, ("backdoored", "vanilla")),
        "figure-3": hardener.figures.activation_maps(
            shown, [row.channel for row in scanned.channels[:10]], "the ten that rise most"
        ),
        "figure-4": hardener.figures.norm_histograms(shown),
        "figure-5": _thresholds(),
        "repaired": hardener.figures.attention(mended, ("backdoored", "repaired")),
    }
    for name, figure in drawn.items():
        figure.save(folder / f"{name}.svg")
    document = {
        "machine": machine(),
        "commit": commit(),
        "seed": SEED,
        "verdict": scanned.verdict,
        "targets": scanned.targets,
        "repaired": repaired.outcome,
        "report": {"seconds": seconds, "bytes": page.bytes, "load_before": load},
        "images_shown": [example.position for example in shown.examples],
        "images_counted": shown.counted,
        "answers": [_answers(shown), _answers(mended)],
        "largest_norms": {
            setting: {norm: histogram.largest for norm, histogram in norms.items()}
            for setting, norms in shown.norms.items()
        },
    }
    write_results("figures", document, _markdown(drawn, document))


def _triggers(
    scan: Path, scanned: ScanResult, original: Trigger
) -> list[tuple[str, np.ndarray[Any, np.dtype[np.float32]]]]:
    """The original trigger, the target's synthetic one and two others', with mask ℓ1."""
    rows = {row.label: row for row in scanned.searched}
    shown: list[tuple[str, SyntheticTrigger]] = [(f"original, label {original.label}", original)]
    for label in (original.label, *OTHERS):
        shown.append((f"synthetic, label {label}", load_of_kind(scan, rows[label], "patch")))
    return [
        (f"{name}\nmask ℓ1 {trigger.mask.sum():.1f}", trigger.mask * trigger.pattern)
        for name, trigger in shown
        if isinstance(trigger, Trigger)
    ]


def _thresholds() -> Drawn:
    """Accuracy and attack success by the threshold of ℓ∞, static pruning and guard."""
    measured = json.loads((RESULTS / "table1.json").read_text(encoding="utf-8"))
    readings = {"static": "static linf", "per input (guard)": "guard linf"}
    with new_figure(7.2, 5.4) as figure:
        axes = figure.subplots(2, len(readings), sharey="row", sharex="col")
        for column, (name, key) in enumerate(readings.items()):
            rows = [row for row in measured["curves"][key] if row["threshold"] is not None]
            along = [row["threshold"] for row in rows]
            for axis, what in zip(
                axes[:, column], ("accuracy", "attack_success_rate"), strict=True
            ):
                for setting in rows[0][what]:
                    colour, style = SETTINGS[setting]
                    values = [100 * row[what][setting] for row in rows]
                    axis.plot(along, values, color=colour, linestyle=style, label=setting)
                axis.set_ylim(0, 101)
                axis.grid()
            axes[0, column].set_title(name)
            axes[1, column].set_xlabel("threshold of ℓ∞")
        axes[0, 0].set_ylabel("accuracy, %")
        axes[1, 0].set_ylabel("attack success rate, %")
        axes[0, 0].legend(fontsize=8)
    described = (
        f"On {measured['test_images']} test images; thresholds go down from the clean maximum of "
        f"{measured['clean_linf_max']:.2f}."
    )
    return Drawn("thresholds", "Accuracy and attack success by threshold", described, figure)


def _answers(shown: ModelView) -> list[dict[str, Any]]:
    return [
        {"image": example.position, "label": example.label, "model": place, **answers}
        for example in shown.examples
        for place, answers in enumerate(example.answers)
    ]


def _markdown(drawn: dict[str, Drawn], document: dict[str, Any]) -> str:
    names: Sequence[str] = list(drawn)
    page, cores = document["report"], document["machine"]["cores"]
    lines = [
        "# The paper's figures on the committed AlexNets",
        "",
        "The paper's Figure 2 has the vanilla network first. ori: the true trigger, syn: the "
        "synthetic one.",
        "",
        f"The report of this scan and repair took {page['seconds']:.1f} s on {cores} cores and has "
        f"{page['bytes'] / 1000:.0f} kB.",
    ]
    for name in names:
        figure = drawn[name]
        title = f"Figure {name[-1]}" if name.startswith("figure") else "Before and after repair"
        described = figure.described
        lines += ["", f"## {title}: {figure.title}", "", described, "",
                  f"![{figure.title}](figures/{name}.svg)"]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
