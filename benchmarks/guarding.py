"""Guards and clips: what each leaves of the attack, what an alarm tells, and what they cost.

    HARDEN_GTSRB=FOLDER python -m benchmarks.guarding

Thresholds come from `harden prune` on clean images and the synthetic trigger alone; the true
trigger and the test images only report. Latency is of whole models with all their outputs, in
turns with the unguarded model.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx

import hardener
from benchmarks.interleaving import Times, Work, circumstances, interleaved, shown
from benchmarks.setting import ROOT, WEIGHTS, exported, gtsrb, machine, write_results
from benchmarks.subjects import resnet18
from hardener.arrays import AnyArray, FloatArray, IntArray
from hardener.data.settings import CLEAN, Setting, input_settings
from hardener.data.signs import CLASS_NAMES, write_signs
from hardener.documents.prune import PruneResult
from hardener.documents.rates import Rate
from hardener.measuring.intervals import wilson
from hardener.measuring.quality import count
from hardener.model.classifier import Classifier, open_classifier
from hardener.model.operators import ALARM_OUTPUT
from hardener.model.rewriting import PruningPlan, rewritten
from hardener.model.runtime import Machine, open_runner
from hardener.model.topology import find_feature_layer

GTSRB, SIGNS = "alexnet-gtsrb-badnets", "alexnet-signs-badnets"
SEED = 0
# As the demo has it: the small network shares the backdoor's channels with the signs.
BUDGETS = {GTSRB: (0.01, 0.02), SIGNS: (0.07,)}
PRUNINGS = (
    ("fold", "linf-gap"),
    ("guard", "linf"),
    ("guard", "linf-quantile"),
    ("guard", "linf-ratio"),
    ("clip", "linf-ratio"),
    ("clip", "linf-quantile"),
)
TRUE = "clean+ori"
ROUNDS = 40
_SECONDS_A_ROUND, _WARMUP_RUNS = 0.3, 3
_ALARMING = 0.99
"""Quantile of the clean validation images' alarms above which an image counts as alarming."""

Row = dict[str, Any]


def main() -> None:
    """Measures and writes `results/guarding`."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        victim, network = exported(GTSRB, work), resnet18(work)
        times = {
            f"{GTSRB}, 32×32": _timed(victim, (1, 256)),
            "ResNet-18, 224×224": _timed(network, (1, 16)),
        }
        data = gtsrb() / "gtsrb32-valid.zip", gtsrb() / "gtsrb32-test.zip"
        quality = {
            GTSRB: _quality(GTSRB, victim, *data, work),
            SIGNS: _quality(SIGNS, *_signs(work), work),
        }
    document = {
        "machine": machine(),
        "seed": SEED,
        "budgets": BUDGETS,
        "quality": quality,
        "time": {
            name: {label: found.document() for label, found in rows.items()}
            for name, rows in times.items()
        },
    }
    write_results("guarding", document, _markdown(quality, times))


def _signs(work: Path) -> tuple[Path, Path, Path]:
    """The demo's victim and its clean and test pictures."""
    clean, test = work / "clean.npz", work / "test.npz"
    write_signs(clean, 60, 2)
    write_signs(test, 60, 3)
    model = work / f"{SIGNS}.onnx"
    architecture = f"{ROOT / 'models' / 'alexnet.py'}:AlexNetSmall"
    weights = WEIGHTS / f"{SIGNS}.safetensors"
    hardener.export(weights, architecture, model, class_names=CLASS_NAMES, data=clean)
    return model, clean, test


def _quality(name: str, model: Path, clean: Path, test: Path, work: Path) -> dict[str, Row]:
    """Every pruning of one victim on its test images."""
    found = work / f"{name} scan"
    hardener.scan(model, clean, found, provider="cpu", seed=SEED)
    trigger = hardener.load_trigger(WEIGHTS / f"{name}.trigger.npz")
    rows = {"none": _measured(model, clean, test, trigger)}
    for budget, (rewrite, criterion) in product(BUDGETS[name], PRUNINGS):
        title = f"{rewrite} {criterion}, budget {100 * budget:g} points"
        output = work / f"{name} {title}.onnx"
        result = hardener.prune(
            model,
            found,
            clean,
            output,
            criterion=criterion,
            rewrite=rewrite,
            alarm=rewrite == "guard",
            max_accuracy_drop=budget,
            max_attack_success=1.0,
            provider="cpu",
            seed=SEED,
        )
        row = {"outcome": result.outcome} | _synthetic(result)
        if result.outcome == "written":
            row |= _measured(output, clean, test, trigger)
        rows[title] = row
    return rows


def _synthetic(result: PruneResult) -> Row:
    """What `harden prune` itself reports."""
    return result.model_dump(
        include={
            *("threshold", "accuracy_before", "accuracy_after", "attack_success_rate_after"),
            "robust_accuracy_after",
        }
    )


def _measured(model: Path, clean: Path, test: Path, trigger: hardener.Trigger) -> Row:
    """Quality under the true trigger, and how many images a guard's alarm tells of."""
    classifier = open_classifier(model)
    settings = input_settings(trigger, None)
    found = {name: _answers(classifier, test, setting) for name, setting in settings.items()}
    (right, _, _), (attacked, labels, alarms) = found[CLEAN], found[TRUE]
    counts = count(attacked, labels, trigger.label)
    unstamped = count(right, labels, None)
    row: Row = {
        "accuracy": wilson(unstamped.correct, unstamped.n).model_dump(),
        "attack_success_rate": wilson(counts.hits, counts.others).model_dump(),
        "robust_accuracy": wilson(counts.robust, counts.others).model_dump(),
    }
    if len(alarms):
        most = float(np.quantile(_answers(classifier, clean)[2], _ALARMING, method="higher"))
        beyond = {name: values > most for name, (_, _, values) in found.items()}
        beyond[TRUE] = beyond[TRUE][labels != trigger.label]
        row["alarm"] = {"most": most} | {
            name: wilson(int(values.sum()), len(values)).model_dump()
            for name, values in beyond.items()
        }
    return row


def _answers(
    classifier: Classifier, data: Path, setting: Setting = ()
) -> tuple[FloatArray, IntArray, IntArray]:
    """Class scores (N, K), true labels (N,) and alarms, (N,) or none at all."""
    runner = open_runner(classifier.proto, Machine())
    names = [output.name for output in runner.session.get_outputs()]
    rows: dict[str, list[AnyArray]] = {name: [] for name in (*names, "labels")}
    for batch in classifier.batches(classifier.open_data(data)):
        outputs = runner.run(classifier.feeds(batch.images, setting))
        for name, values in zip((*names, "labels"), (*outputs, batch.labels), strict=True):
            rows[name].append(values)
    joined = {name: np.concatenate(values) for name, values in rows.items()}
    alarms = joined.get(ALARM_OUTPUT, np.zeros(0, np.int64))
    return joined[classifier.signature.output], joined["labels"], alarms


def _timed(model: Path, batch_sizes: Sequence[int]) -> dict[str, Times]:
    """Each rewrite against the model as it came. What the limits are costs nothing."""
    classifier = open_classifier(model)
    shapes, signature = classifier.model.shapes, classifier.signature
    layer = find_feature_layer(classifier.proto, signature, shapes)
    by_channel = tuple(np.linspace(1, 2, layer.channels).tolist())
    plans = {
        "guard, one threshold": PruningPlan(layer, "guard", threshold=1.0),
        "guard by channel": PruningPlan(layer, "guard", limits=by_channel),
        "guard by channel, alarm": PruningPlan(layer, "guard", limits=by_channel, alarm=True),
        "clip": PruningPlan(layer, "clip", limits=by_channel),
    }
    times: dict[str, Times] = {}
    for size in batch_sizes:
        once = _inference(classifier, classifier.proto, size)
        start = perf_counter()
        once()
        runs = max(1, int(_SECONDS_A_ROUND / (perf_counter() - start)))
        plain = _round(once, runs)
        for name, plan in plans.items():
            changed = _inference(classifier, rewritten(classifier.proto, plan, shapes), size)
            times[f"{name}, batch {size}"] = interleaved(_round(changed, runs), plain, ROUNDS)
    return times


def _round(once: Callable[[], None], runs: int) -> Work:
    def work(_: int) -> None:
        for _ in range(runs):
            once()

    return work


def _inference(classifier: Classifier, proto: onnx.ModelProto, size: int) -> Callable[[], None]:
    """One run of a model on a batch of noise, all its outputs fetched; warmed up."""
    runner = open_runner(proto, Machine())
    height, width = classifier.preprocessing.size
    shape = (size, classifier.preprocessing.channels, height, width)
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    feeds = {classifier.signature.input: classifier.signature.network_input(images)}

    def once() -> None:
        runner.session.run(None, feeds)

    for _ in range(_WARMUP_RUNS):
        once()
    return once


def _markdown(
    quality: Mapping[str, Mapping[str, Row]], times: Mapping[str, Mapping[str, Times]]
) -> str:
    lines = [
        "# Guards and clips",
        "",
        "Thresholds as `harden prune` chooses them within the accuracy budget; test images and "
        "the true trigger, % with 95 % interval. *Alarm* is the share of test images, clean and "
        "triggered, on which more channels fired than on 99 % of the clean validation images.",
    ]
    columns = ("pruning", "threshold", "accuracy", "attack success", "robust accuracy")
    for name, rows in quality.items():
        lines += ["", f"## `{name}`", "", *_header(*columns, "alarm, clean", "alarm, triggered")]
        for title, row in rows.items():
            lines.append(f"| {title} | {' | '.join(_cells(row))} |")
    last = [found for rows in times.values() for found in rows.values()][-1]
    lines += [
        "",
        "## Latency",
        "",
        f"Against the model as it came, {machine()['cores']} cores ({machine()['processor']}), "
        f"{ROUNDS} interleaved rounds, 95 % intervals. {circumstances(last)} The target for a "
        "guard is at most 1.05.",
        "",
        *_header("model", "rewrite", "ratio", "ratio by processor seconds"),
    ]
    for name, found in times.items():
        for title, own in found.items():
            ratios = f"{shown(own.wall_ratio)} | {shown(own.processor_ratio)}"
            lines.append(f"| {name} | {title} | {ratios} |")
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    if "accuracy" not in row:
        return [f"nothing written: {row['outcome']}", *[""] * 5]
    threshold = row.get("threshold")
    rates = [row[key] for key in ("accuracy", "attack_success_rate", "robust_accuracy")]
    alarm = row.get("alarm", {})
    alarms = [_percent(alarm[name]) for name in (CLEAN, TRUE) if alarm]
    first = "" if threshold is None else f"{threshold:.3g}"
    return [first, *map(_percent, rates), *(alarms or ["", ""])]


def _percent(rate: Mapping[str, Any]) -> str:
    found = Rate.model_validate(rate)
    return f"{100 * found.value:.2f} ({100 * found.low:.2f} to {100 * found.high:.2f})"


def _header(*columns: str) -> list[str]:
    return ["| " + " | ".join(columns) + " |", "| " + " | ".join(["---"] * len(columns)) + " |"]


if __name__ == "__main__":
    main()
