"""The paper's Table 1 and the data of its Figure 5, on the committed GTSRB victim.

    HARDEN_GTSRB=FOLDER python -m benchmarks.table1

Thresholds come from validation images and the synthetic trigger alone; the true trigger and the
12,630 test images only report. Both readings of the method are run: static (`fold`, by `linf`
as the paper has it and by `linf-gap`) and per input (`guard`, with one threshold and with one a
channel); beside them `clip`.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hardener
from benchmarks.setting import WEIGHTS, exported, gtsrb, machine, write_results
from hardener.data.settings import CLEAN, input_settings
from hardener.data.splits import stratified_halves
from hardener.measuring.quality import Counts, Probe
from hardener.model.classifier import Classifier, open_classifier
from hardener.model.rewriting import REWRITES
from hardener.model.runtime import Machine
from hardener.model.topology import FeatureLayer
from hardener.pruning.options import options_for
from hardener.pruning.sweep import Trial, feature_batches, sweep
from hardener.scanning.saved import load_synthetic_triggers, open_scan
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

VICTIM = "alexnet-gtsrb-badnets"
SEED = 0
BUDGETS = (0.01, 0.02, 0.05)
READINGS = (
    ("static", "linf", "fold"),
    ("static", "linf-gap", "fold"),
    ("guard", "linf", "guard"),
    ("guard", "linf-quantile", "guard"),
    ("clip", "linf-ratio", "clip"),
)
ATTACKS = ("clean+ori", "clean+syn", "clean+ori+syn")

PAPER: tuple[tuple[str, float, float, float, float], ...] = (
    ("none", 96.91, 81.61, 74.36, 74.36),
    ("7", 95.21, 48.42, 40.87, 40.87),
    ("6", 91.38, 42.99, 35.90, 35.90),
)

COLUMNS = (
    *("method", "threshold", "channels", "accuracy"),
    *("SR ori", "SR syn", "SR ori+syn", "RA ori", "RA syn"),
)

Row = dict[str, Any]


def main() -> None:
    """Scans, prunes at several budgets, and reports every threshold on the test images."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        clean = gtsrb() / "gtsrb32-valid.zip"
        model = exported(VICTIM, work)
        scanned = hardener.scan(model, clean, work / "scan", provider="cpu", seed=SEED)
        (synthetic,) = load_synthetic_triggers(open_scan(work / "scan"))
        original = hardener.load_trigger(WEIGHTS / f"{VICTIM}.trigger.npz")
        classifier = open_classifier(model)
        layer = FeatureLayer(scanned.layer.name, scanned.layer.channels)
        curves: dict[str, list[Row]] = {}
        choices: dict[str, dict[str, float | None]] = {}
        for reading, criterion, rewrite in READINGS:
            name = f"{reading} {criterion}"
            curves[name] = _curve(classifier, layer, criterion, rewrite, synthetic, original)
            choices[name] = {
                f"{budget:g}": _chosen(model, work, criterion, rewrite, budget)
                for budget in BUDGETS
            }
    document = {
        "machine": machine(),
        "victim": VICTIM,
        "seed": SEED,
        "verdict": scanned.verdict,
        "targets": scanned.targets,
        "clean_linf_max": scanned.norms[CLEAN].linf.max,
        "test_images": curves["static linf"][0]["n"],
        "chosen_thresholds_by_budget": choices,
        "curves": curves,
        "paper": PAPER,
    }
    write_results("table1", document, _markdown(curves, choices))


def _chosen(model: Path, work: Path, criterion: str, rewrite: str, budget: float) -> float | None:
    """The threshold that `harden prune` would write; None where it would write nothing."""
    result = hardener.prune(
        model,
        work / "scan",
        gtsrb() / "gtsrb32-valid.zip",
        work / "hardened.onnx",
        criterion=criterion,
        rewrite=rewrite,
        max_accuracy_drop=budget,
        max_attack_success=1.0,
        provider="cpu",
        seed=SEED,
        dry_run=True,
    )
    return result.threshold if result.outcome == "planned" else None


def _curve(
    classifier: Classifier,
    layer: FeatureLayer,
    criterion: str,
    rewrite: str,
    synthetic: SyntheticTrigger,
    original: Trigger,
) -> list[Row]:
    """Every threshold, set on the choosing half of the validation images, on the test images."""
    valid = classifier.open_data(gtsrb() / "gtsrb32-valid.zip")
    test = classifier.open_data(gtsrb() / "gtsrb32-test.zip")
    chosen_on, _ = stratified_halves(valid.labels, SEED)
    chosen = list(
        feature_batches(
            classifier,
            layer,
            valid,
            {k: Probe(s) for k, s in input_settings(None, synthetic).items()},
            machine=Machine(),
            indices=chosen_on,
        )
    )
    options = options_for(criterion, rewrite, chosen)
    probes = {
        name: Probe(setting, original.label)
        for name, setting in input_settings(original, synthetic).items()
    }
    trials = sweep(
        REWRITES[rewrite].head(classifier.proto, layer, classifier.signature),
        [option.feed for option in options],
        feature_batches(classifier, layer, test, probes, machine=Machine()),
        probes,
        machine=Machine(),
    )
    return [
        {
            "threshold": option.threshold,
            "channels_pruned": len(option.channels),
            "n": trial.counts[CLEAN].n,
            "accuracy": {k: c.correct / c.n for k, c in trial.counts.items()},
            "attack_success_rate": {a: c.hits / c.others for a, c in _attacks(trial)},
            "robust_accuracy": {a: c.robust / c.others for a, c in _attacks(trial)},
        }
        for option, trial in zip(options, trials, strict=True)
    ]


def _attacks(trial: Trial) -> list[tuple[str, Counts]]:
    return [(attack, trial.counts[attack]) for attack in ATTACKS]


def _markdown(
    curves: Mapping[str, Sequence[Row]], choices: Mapping[str, Mapping[str, float | None]]
) -> str:
    lines = [
        "# Table 1 on the committed victim",
        "",
        f"Victim `{VICTIM}`, 12,630 GTSRB test images, all numbers in %. Thresholds were chosen on",
        "validation images with the synthetic trigger, within the accuracy budget named. SR:",
        "attack success rate; RA: robust accuracy, triggered images classified to their true",
        "label. The paper reports no RA.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "| " + " | ".join(["---"] * len(COLUMNS)) + " |",
    ]
    for published, *rates in PAPER:
        shown = " | ".join(f"{rate:.2f}" for rate in rates)
        lines.append(f"| paper (their AlexNet) | {published} | ? | {shown} | | |")
    first = next(iter(curves.values()))[0]
    lines.append(_line("no pruning", first))
    for name, chosen in choices.items():
        for budget, threshold in chosen.items():
            title = f"{name}, budget {100 * float(budget):g} points"
            row = next((r for r in curves[name] if r["threshold"] == threshold), None)
            if threshold is None or row is None:
                lines.append(f"| {title} | nothing written: none keeps the budget | | | | | | | |")
            else:
                lines.append(_line(title, row))
    return "\n".join(lines) + "\n\nEvery threshold (Figure 5's data) stands in `table1.json`.\n"


def _line(title: str, row: Row) -> str:
    threshold = "none" if row["threshold"] is None else f"{row['threshold']:.3g}"
    rates = [
        row["accuracy"][CLEAN],
        *(row["attack_success_rate"][attack] for attack in ATTACKS),
        *(row["robust_accuracy"][attack] for attack in ATTACKS[:2]),
    ]
    shown = " | ".join(f"{100 * rate:.2f}" for rate in rates)
    return f"| {title} | {threshold} | {row['channels_pruned']} | {shown} |"


if __name__ == "__main__":
    main()
