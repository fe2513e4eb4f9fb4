"""What people see: tables on standard output, progress and notes on standard error."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import singledispatch

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)
from rich.table import Table
from rich.text import Text

from hardener.progress import Progress, silent
from hardener.reporting.outcomes import prune_outcome, repair_outcome
from hardener.reporting.plain_text import percent, printable
from hardener.results import (
    BenchResult,
    Document,
    ExportResult,
    Inspection,
    ModelBench,
    PruneResult,
    Rate,
    RepairResult,
    RepairRound,
    ReportResult,
    ScanResult,
)

_LABELS_SHOWN = 5
_SECONDS_BETWEEN_LINES = 30
_SECONDS_OF_SPEED = 600
"""Time left is told by the speed of so long: stages of one whole are not equally fast."""

_CHANNELS_SHOWN = 10
_THRESHOLDS_SHOWN = 16
_OPERATORS_SHOWN = 8


class _Console(Console):
    """A console that leaves it to the command what to do when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        """Instead of leaving with exit code 1, which would mean bad news."""
        raise BrokenPipeError


def note(message: str, *, quiet: bool) -> None:
    """Says something on standard error, unless it shall be quiet."""
    if not quiet:
        print(printable(message), file=sys.stderr)


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Progress]:
    """A listener that draws bars on standard error, or writes a line now and then into a log."""
    if quiet:
        yield silent
        return
    if not sys.stderr.isatty():
        yield _log_lines()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bars(
        *columns,
        console=Console(stderr=True),
        transient=True,
        speed_estimate_period=_SECONDS_OF_SPEED,
    ) as bars:
        tasks: dict[str, TaskID] = {}

        def listen(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        yield listen


def _log_lines() -> Progress:
    """A listener that says every half minute how far a stage is, where no bar can be drawn."""
    said: dict[str, float] = {}

    def listen(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage not in said:
            said[stage] = now
        elif now - said[stage] >= _SECONDS_BETWEEN_LINES:
            said[stage] = now
            print(printable(f"{stage}: {done / max(1, total):.0%}"), file=sys.stderr, flush=True)

    return listen


def print_tables(*tables: Table | str) -> None:
    """Prints tables and plain lines on standard output."""
    console = _Console(soft_wrap=False)
    for table in tables:
        if isinstance(table, str):
            console.print(printable(table), markup=False, highlight=False, soft_wrap=True)
        else:
            console.print(table)


@singledispatch
def summary(result: Document) -> list[Table | str]:
    """What a command prints of its result."""
    raise TypeError(f"nothing is printed of a {type(result).__name__}")


@summary.register
def _export_summary(result: ExportResult) -> list[Table | str]:
    """Where the model went and how close it is."""
    return [
        f"wrote {result.model.path}: logits equal PyTorch's within "
        f"{result.largest_difference:.1e} on {result.parity_images} images"
    ]


@summary.register
def _report_summary(result: ReportResult) -> list[Table | str]:
    """Where the page lies."""
    return [f"wrote {result.report} ({result.bytes / 1000:.0f} kB): open it in any browser"]


@summary.register
def _scan_summary(result: ScanResult) -> list[Table | str]:
    """Verdict, reasons, the most suspicious labels and channels."""
    targets = f", target label {', '.join(map(str, result.targets))}" if result.targets else ""
    verdict = f"verdict: {result.verdict}{targets} (score {result.score:.2f}, "
    reasons = [f"- {reason}" for reason in result.reasons]
    if result.data is None:
        return [*_tables_without_images(result), *reasons, f"{verdict}no images)"]
    patches = _table("Smallest patches", "label", "mask ℓ1", "of median", "anomaly", "success")
    for row in sorted(result.searched, key=lambda row: row.mask_l1)[:_LABELS_SHOWN]:
        patches.add_row(
            str(row.label),
            f"{row.mask_l1:.1f}",
            f"{row.relative_size:.2f}",
            f"{row.anomaly_index:.1f}",
            percent(row.trigger_success_rate),
        )
    additive = _table(
        "Faintest additive triggers", "label", "ℓ2 norm", "of median", "anomaly", "success"
    )
    rows = result.searched
    found = ((row.label, row.additive) for row in rows if not row.additive.nothing_found)
    for label, faint in sorted(found, key=lambda pair: pair[1].perturbation_l2)[:_LABELS_SHOWN]:
        additive.add_row(
            str(label),
            f"{faint.perturbation_l2:.2f}",
            f"{faint.relative_size:.2f}",
            f"{faint.anomaly_index:.1f}",
            percent(faint.trigger_success_rate),
        )
    warps = _table("Slightest warps", "label", "% of side", "of median", "anomaly", "success")
    moved = ((row.label, row.warp) for row in rows if not row.warp.nothing_found)
    for label, warp in sorted(moved, key=lambda pair: pair[1].displacement_rms)[:_LABELS_SHOWN]:
        warps.add_row(
            str(label),
            f"{100 * warp.displacement_rms:.2f}",
            f"{warp.relative_size:.2f}",
            f"{warp.anomaly_index:.1f}",
            percent(warp.trigger_success_rate),
        )
    channels = _table(
        f"Strongest channels of {result.layer.name}", "channel", "ℓ∞ clean", "triggered", "gap"
    )
    for channel in result.channels[:_CHANNELS_SHOWN]:
        channels.add_row(
            str(channel.channel),
            f"{channel.linf_clean:.2f}",
            f"{channel.linf_triggered:.2f}",
            f"{channel.gap:+.2f}",
        )
    return [
        patches,
        additive,
        warps,
        channels,
        *reasons,
        f"{verdict}accuracy {percent(result.accuracy)} on {result.data.count} images)",
    ]


def _tables_without_images(result: ScanResult) -> list[Table]:
    """The labels that get furthest ahead, and those with the largest mean weights."""
    tables: list[Table] = []
    if result.margins is not None:
        largest = result.margins.largest
        margins = _table("Largest margins", "label", "margin")
        for label in sorted(range(len(largest)), key=lambda one: -largest[one])[:_LABELS_SHOWN]:
            margins.add_row(str(label), f"{largest[label]:.1f}")
        tables.append(margins)
    if result.last_layer is not None:
        means, indices = result.last_layer.mean_weights, result.last_layer.anomaly_indices
        rows = _table("Last layer, mean weights", "label", "mean", "anomaly")
        for label in sorted(range(len(means)), key=lambda one: -indices[one])[:_LABELS_SHOWN]:
            rows.add_row(str(label), f"{means[label]:.4f}", f"{indices[label]:.1f}")
        tables.append(rows)
    return tables


@summary.register
def _prune_summary(result: PruneResult) -> list[Table | str]:
    """The sweep, what was chosen, and what it costs."""
    lines: list[Table | str] = []
    if result.sweep:
        sweep = _table(
            f"Sweep by {result.criterion} ({result.chosen_on} images choose)",
            *("threshold", "channels", "accuracy", "attack success", "robust accuracy"),
        )
        every = -(-len(result.sweep) // _THRESHOLDS_SHOWN)
        for position, row in enumerate(result.sweep):
            chosen = row.threshold is not None and row.threshold == result.threshold
            if position % every and not chosen:
                continue
            # The arrow is for those who read a log, where nothing is bold.
            sweep.add_row(
                "none" if row.threshold is None else f"{'→ ' * chosen}{row.threshold:.3f}",
                str(row.channels_pruned),
                percent(row.accuracy),
                percent(row.attack_success_rate),
                percent(row.robust_accuracy),
                style="bold" if chosen else None,
            )
        lines.append(sweep)
    lines += _before_and_after(result, "synthetic trigger's attack success")
    return [*lines, *(f"note: {said}" for said in result.notes), prune_outcome(result)]


@summary.register
def _repair_summary(result: RepairResult) -> list[Table | str]:
    """The rounds, which was kept, and what it costs."""
    lines: list[Table | str] = []
    if result.rounds:
        rounds = _table(
            f"Rounds on {result.images_used} images ({result.chosen_on} others choose)",
            *("round", "accuracy", "attack", "stronger", "robust", "left"),
        )
        for number, row in enumerate(result.rounds):
            chosen = number == result.chosen_round
            rounds.add_row(
                "none" if number == 0 else f"{'→ ' * chosen}{number}",
                percent(row.accuracy),
                percent(row.attack_success_rate),
                percent(row.strengthened_success_rate),
                percent(row.robust_accuracy),
                _smallest_left(row),
                style="bold" if chosen else None,
            )
        lines += [
            rounds,
            "attack: success of triggers not trained on; stronger: of stronger versions of them; "
            "robust: robust accuracy; left: the smallest trigger that still works, of the scan's "
            "median",
        ]
    lines += _before_and_after(result, "attack success of triggers not trained on")
    if result.strengthened_success_rate_after is not None:
        lines.append(
            f"there after the repair: stronger versions "
            f"{percent(result.strengthened_success_rate_after)}, the scan's own triggers "
            f"{percent(result.scan_success_rate_after)}"
        )
    return [*lines, *(f"note: {said}" for said in result.notes), repair_outcome(result)]


@summary.register
def _bench_summary(result: BenchResult) -> list[Table | str]:
    """Quality and latency of every model."""
    quality = _table(
        f"Quality on {result.data.count} images, % with 95 % interval",
        *("model", "setting", "accuracy", "attack success", "robust accuracy"),
    )
    latency = _table(
        f"Latency on {result.provider}, {result.models[0].latency[0].threads} threads, ms",
        *("model", "batch", "p50", "p95", "p99", "images/s", "ratio"),
    )
    for model in result.models:
        quality.add_row(_short(model), "clean", _interval(model.accuracy), "", "")
        for setting, attack in model.attack_success_rate.items():
            robust = model.robust_accuracy[setting]
            quality.add_row("", setting, "", _interval(attack), _interval(robust))
        for row in model.latency:
            latency.add_row(
                _short(model),
                str(row.batch_size),
                f"{row.p50_ms:.2f}",
                f"{row.p95_ms:.2f}",
                f"{row.p99_ms:.2f}",
                f"{row.images_per_s:.0f}",
                f"{row.ratio.value:.2f} ({row.ratio.low:.2f}-{row.ratio.high:.2f})",
            )
    return [quality, latency]


@summary.register
def _inspect_summary(result: Inspection) -> list[Table | str]:
    """One line a fact."""
    height, width = result.size or ("any", "any")
    axes = {"N": result.batch or "N", "C": result.channels, "H": height, "W": width}
    form = ", ".join(str(axes[axis]) for axis in result.layout)
    layer, beside = result.layer, [name for name in result.outputs if name != result.output]
    return [
        f"model           {result.model.path}",
        f"sha256          {result.model.sha256}",
        f"input           {result.input} ({form}) {result.layout} {result.element_type}",
        f"output          {result.output} ({axes['N']}, {result.classes})",
        *([f"other outputs   {', '.join(beside)}"] if beside else []),
        "preprocessing   "
        + (", ".join(_values(*field) for field in result.preprocessing.items()) or "unknown"),
        "feature layer   "
        + (
            f"{layer.name}, {layer.channels} channels on axis {layer.axis} of "
            f"({axes['N']}, {', '.join(map(str, result.layer_shape[1:]))})"
            if layer and result.layer_shape
            else "not found"
        ),
        f"head            {_head(result.head)}",
        f"opset           {result.opset}",
        f"nodes           {result.nodes}",
        f"parameters      {result.parameters:,}",
        *([f"hardened        {result.plan}"] if result.plan else []),
        *(f"note: {said}" for said in result.notes),
        *(f"cannot {what}: {why}" for what, why in result.refusals.items()),
    ]


def _before_and_after(result: PruneResult | RepairResult, attack: str) -> list[str]:
    if result.accuracy_before is None:
        return []
    rates = (
        ("accuracy", result.accuracy_before, result.accuracy_after),
        (attack, result.attack_success_rate_before, result.attack_success_rate_after),
        ("robust accuracy", result.robust_accuracy_before, result.robust_accuracy_after),
    )
    said = (f"{name} {percent(before)} → {percent(after)}" for name, before, after in rates)
    return [f"on {result.reported_on} other images: {', '.join(said)}"]


def _smallest_left(found: RepairRound) -> str:
    """Size and kind of the trigger that is smallest beside the scan's of its kind."""
    sizes = {
        "patch": found.patch_relative_size,
        "additive": found.additive_relative_size,
        "warp": found.warp_relative_size,
    }
    left = {kind: size for kind, size in sizes.items() if size is not None}
    smallest = min(left, key=lambda kind: left[kind], default=None)
    return "none" if smallest is None else f"{left[smallest]:.2f} {smallest}"


def _head(operators: Sequence[str]) -> str:
    shown = " → ".join(operators[:_OPERATORS_SHOWN]) or "none"
    left = len(operators) - _OPERATORS_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown


def _values(name: str, numbers: tuple[float, ...]) -> str:
    return f"{name} {' '.join(f'{number:g}' for number in numbers)}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(printable(title)), title_justify="left")
    for position, column in enumerate(columns):
        table.add_column(
            column, justify="left" if column == "model" else "right", no_wrap=not position
        )
    return table


def _short(model: ModelBench) -> Text:
    # A Text, because a file's name may hold what rich reads as markup.
    return Text(printable(model.path.replace("\\", "/").rsplit("/", 1)[-1]))


def _interval(rate: Rate) -> str:
    return f"{100 * rate.value:.2f} ({100 * rate.low:.2f}-{100 * rate.high:.2f})"
