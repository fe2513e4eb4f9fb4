"""What each command shows of its result: the tables that help to decide, then what was found."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import TypeAlias

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hardener.console import Fact, Line, Sentence
from hardener.documents.bench import BenchResult, ModelBench
from hardener.documents.document import Document
from hardener.documents.export import ExportResult
from hardener.documents.inspection import Inspection
from hardener.documents.page import ReportResult
from hardener.documents.prune import PruneResult
from hardener.documents.rates import Rate
from hardener.documents.repair import RepairResult, RepairRound
from hardener.documents.scan import ChannelEvidence, LabelEvidence, ScanResult, Verdict
from hardener.documents.trigger_evidence import TriggerEvidence
from hardener.reporting.outcomes import before_and_after, prune_outcome, repair_outcome
from hardener.reporting.plain_text import percent, printable
from hardener.triggers.families import FAMILIES

_LABELS_SHOWN = 3
"""Of each kind of trigger: a result shall fit on a screen."""
_LABELS_SHOWN_WITHOUT_IMAGES = 5
_CHANNELS_SHOWN = 5
_THRESHOLDS_SHOWN = 12
_OPERATORS_SHOWN = 8
_REASONS_SHOWN = 8
_BAR_WIDTH = 10

_STYLES: dict[Verdict, str] = {
    "backdoored": "bold red",
    "inconclusive": "bold yellow",
    "clean": "bold green",
}

_NARROWEST_TABLE = 60
"""A wider one is squeezed into so many columns before it is told in words."""
_TO_THE_LEFT = ("model", "setting", "trigger", "")

_Cell: TypeAlias = "str | _Bar"


@dataclass(frozen=True)
class _Size:
    """How large the trigger of a label is, in words and beside the median."""

    kind: str
    label: int
    said: str
    evidence: TriggerEvidence


@singledispatch
def summary(result: Document) -> list[Line]:
    """What a command prints of its result."""
    raise TypeError(f"nothing is printed of a {type(result).__name__}")


@summary.register
def _export_summary(result: ExportResult) -> list[Line]:
    """Where the model went and how close it is."""
    return [
        f"wrote {result.model.path}: logits equal PyTorch's within "
        f"{result.largest_difference:.1e} on {result.parity_images} images"
    ]


@summary.register
def _report_summary(result: ReportResult) -> list[Line]:
    """Where the page lies."""
    return [f"wrote {result.report} ({result.bytes / 1000:.0f} kB): open it in any browser"]


@summary.register
def _scan_summary(result: ScanResult) -> list[Line]:
    """The most suspicious labels and channels, reasons, the verdict."""
    targets = f", target label {', '.join(map(str, result.targets))}" if result.targets else ""
    measured = (
        "no images"
        if result.data is None
        else f"accuracy {percent(result.accuracy)} on {result.data.count} images"
    )
    verdict = Sentence(
        f"{result.verdict}{targets} (score {result.score:.2f}, {measured})",
        "verdict: ",
        _STYLES[result.verdict],
    )
    tables = _tables_without_images(result) if result.data is None else _tables_of_images(result)
    return _apart(*([one] for one in tables), _reasons(result.reasons), [verdict])


def _reasons(reasons: Sequence[str]) -> list[Line]:
    lines: list[Line] = [Sentence(reason, "- ") for reason in reasons[:_REASONS_SHOWN]]
    left = len(reasons) - _REASONS_SHOWN
    return [*lines, Sentence(f"and {left} more in scan.json", "- ")] if left > 0 else lines


def _tables_of_images(result: ScanResult) -> list[Line]:
    """The easiest labels of each kind of trigger, and the channels that answer most."""
    head = ("trigger", "label", "size", "of median", "", "anomaly", "success")
    rows = (
        (
            size.kind,
            str(size.label),
            size.said,
            f"{size.evidence.relative_size:.2f}",
            _Bar(size.evidence.relative_size),
            f"{size.evidence.anomaly_index:.1f}",
            percent(size.evidence.trigger_success_rate),
        )
        for size in _smallest(result.searched)
    )
    lines: list[Line] = [_rows("Smallest triggers, drawn beside the median", head, rows)]
    if result.channels:
        channels = "; ".join(map(_said_of_channel, result.channels[:_CHANNELS_SHOWN]))
        lines.append(
            Sentence(
                f"Strongest channels of {result.layer.name}, mean peak without → with the trigger: "
                f"{channels}"
            )
        )
    return lines


def _smallest(rows: Sequence[LabelEvidence]) -> list[_Size]:
    """The labels with the smallest triggers of each kind that were found."""
    found: list[_Size] = []
    for kind, family in FAMILIES.items():
        sizes = [
            _Size(kind, row.label, family.size_shown.format(row.size_of(kind)), row.of_kind(kind))
            for row in rows
        ]
        worked = (size for size in sizes if not size.evidence.nothing_found)
        found += sorted(worked, key=lambda size: size.evidence.relative_size)[:_LABELS_SHOWN]
    return found


def _said_of_channel(channel: ChannelEvidence) -> str:
    return f"{channel.channel} ({channel.linf_clean:.2f} → {channel.linf_triggered:.2f})"


def _tables_without_images(result: ScanResult) -> list[Line]:
    """The labels that get furthest ahead, and those with the largest mean weights."""
    tables: list[Line] = []
    if result.margins is not None:
        largest = result.margins.largest
        best = _best(largest)
        rows = ((str(label), f"{largest[label]:.1f}") for label in best)
        tables.append(_rows("Largest margins", ("label", "margin"), rows))
    if result.last_layer is not None:
        means, indices = result.last_layer.mean_weights, result.last_layer.anomaly_indices
        of_weights = (
            (str(label), f"{means[label]:.4f}", f"{indices[label]:.1f}") for label in _best(indices)
        )
        head = ("label", "mean", "anomaly")
        tables.append(_rows("Last layer, mean weights", head, of_weights))
    return tables


def _best(values: Sequence[float]) -> list[int]:
    ranked = sorted(range(len(values)), key=lambda position: -values[position])
    return ranked[:_LABELS_SHOWN_WITHOUT_IMAGES]


@summary.register
def _prune_summary(result: PruneResult) -> list[Line]:
    """The sweep, what was chosen, and what it costs."""
    tables: list[Line] = []
    if result.sweep:
        every = -(-len(result.sweep) // _THRESHOLDS_SHOWN)
        chosen = [row.threshold not in (None, result.threshold) for row in result.sweep]
        rows = (
            (
                "none" if row.threshold is None else f"{'* ' * (not other)}{row.threshold:.3f}",
                str(row.channels_pruned),
                percent(row.accuracy),
                percent(row.attack_success_rate),
                _Bar(row.attack_success_rate),
                percent(row.robust_accuracy),
                _Bar(row.robust_accuracy),
            )
            for position, (row, other) in enumerate(zip(result.sweep, chosen, strict=True))
            if not (position % every and other)
        )
        title = f"Sweep by {result.criterion} ({result.chosen_on} images choose)"
        head = ("threshold", "channels", "accuracy", "attack\nsuccess", "", "robust\naccuracy", "")
        tables.append(_rows(title, head, rows))
    measured = _before_and_after(result, "synthetic trigger's attack success")
    return _apart(tables, [*measured, *_notes(result.notes), _ending(prune_outcome(result))])


@summary.register
def _repair_summary(result: RepairResult) -> list[Line]:
    """The rounds, which was kept, and what it costs."""
    tables: list[Line] = []
    if result.rounds:
        rows = (
            (
                "none" if number == 0 else f"{'* ' * (number == result.chosen_round)}{number}",
                percent(row.accuracy),
                percent(row.attack_success_rate),
                _Bar(row.attack_success_rate),
                percent(row.strengthened_success_rate),
                percent(row.robust_accuracy),
                _smallest_left(row),
            )
            for number, row in enumerate(result.rounds)
        )
        title = (
            f"Rounds on {result.chosen_on} images that choose ({result.images_used} others train)"
        )
        head = (
            *("round", "accuracy", "attack\nsuccess", "", "stronger\ntriggers"),
            *("robust\naccuracy", "smallest\nleft"),
        )
        tables += [
            _rows(title, head, rows),
            Sentence(
                "attack success is of triggers not trained on, then of stronger versions of them; "
                "smallest left is the trigger that still works, beside the scan's median; * is kept"
            ),
        ]
    measured = _before_and_after(result, "attack success of triggers not trained on")
    if result.strengthened_success_rate_after is not None:
        measured.append(
            Sentence(
                "there after the repair: stronger versions "
                f"{percent(result.strengthened_success_rate_after)}, the scan's own triggers "
                f"{percent(result.scan_success_rate_after)}"
            )
        )
    return _apart(tables, [*measured, *_notes(result.notes), _ending(repair_outcome(result))])


@summary.register
def _bench_summary(result: BenchResult) -> list[Line]:
    """Accuracy, what the attack does, and latency of every model."""
    named = list(zip(_names(result.models), result.models, strict=True))
    accuracies = ((name, _interval(model.accuracy)) for name, model in named)
    title = f"Accuracy on {result.data.count} images, % with 95 % interval"
    tables = [_rows(title, ("model", "accuracy"), accuracies)]
    if result.target is not None:
        attacks = (
            (name, setting, _interval(attack), _interval(model.robust_accuracy[setting]))
            for name, model in named
            for setting, attack in model.attack_success_rate.items()
        )
        title = f"Under attack, target label {result.target}, % with 95 % interval"
        head: tuple[str, ...] = ("model", "setting", "attack success", "robust accuracy")
        tables.append(_rows(title, head, attacks))
    threads = result.models[0].latency[0].threads
    latencies = (
        (
            name,
            str(row.batch_size),
            f"{row.p50_ms:.2f}",
            f"{row.p95_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.images_per_s:.0f}",
            f"{row.ratio.value:.2f} ({row.ratio.low:.2f}-{row.ratio.high:.2f})",
        )
        for name, model in named
        for row in model.latency
    )
    head = ("model", "batch", "p50", "p95", "p99", "images/s", "ratio")
    tables.append(_rows(f"Latency on {result.provider}, {threads} threads, ms", head, latencies))
    return [*_apart(*([one] for one in tables)), ""]


@summary.register
def _inspect_summary(result: Inspection) -> list[Line]:
    """One line a fact."""
    height, width = result.size or ("any", "any")
    axes = {"N": result.batch or "N", "C": result.channels, "H": height, "W": width}
    form = ", ".join(str(axes[axis]) for axis in result.layout)
    layer, beside = result.layer, [name for name in result.outputs if name != result.output]
    known = ", ".join(_values(*field) for field in result.preprocessing.items())
    facts = {
        "model": result.model.path,
        "sha256": result.model.sha256,
        "input": f"{result.input} ({form}) {result.layout} {result.element_type}",
        "output": f"{result.output} ({axes['N']}, {result.classes})",
        "other outputs": ", ".join(beside),
        "preprocessing": known or "unknown",
        "feature layer": f"{layer.name}, {layer.channels} channels on axis {layer.axis} of "
        f"({axes['N']}, {', '.join(map(str, result.layer_shape[1:]))})"
        if layer and result.layer_shape
        else "not found",
        "head": _head(result.head),
        "opset": str(result.opset),
        "nodes": str(result.nodes),
        "parameters": f"{result.parameters:,}",
        "hardened": result.plan or "",
    }
    return [
        *(Fact(name, value) for name, value in facts.items() if value),
        *_notes(result.notes),
        *(Sentence(why, f"cannot {what}: ") for what, why in result.refusals.items()),
    ]


def _before_and_after(result: PruneResult | RepairResult, attack: str) -> list[Line]:
    if result.accuracy_before is None:
        return []
    rates = before_and_after(result, attack)
    said = (f"{name} {percent(before)} → {percent(after)}" for name, before, after in rates)
    return [Sentence(f"on {result.reported_on} other images: {', '.join(said)}")]


def _notes(notes: Iterable[str]) -> list[Line]:
    return [Sentence(said, "note: ") for said in notes]


def _ending(outcome: str) -> Line:
    """How it ended; a line that names what was written can be copied."""
    return outcome if outcome.startswith("wrote ") else Sentence(outcome)


def _smallest_left(found: RepairRound) -> str:
    """Size and kind of the trigger that is smallest beside the scan's of its kind."""
    left = found.relative_sizes
    smallest = min(left, key=lambda kind: left[kind], default=None)
    return "none" if smallest is None else f"{left[smallest]:.2f} {smallest}"


def _head(operators: Sequence[str]) -> str:
    shown = ", ".join(operators[:_OPERATORS_SHOWN]) or "none"
    left = len(operators) - _OPERATORS_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown


def _values(name: str, numbers: Iterable[float]) -> str:
    return f"{name} {' '.join(f'{number:g}' for number in numbers)}"


def _apart(*blocks: Sequence[Line]) -> list[Line]:
    """The blocks that hold something, with an empty line between."""
    lines: list[Line] = []
    for block in filter(None, blocks):
        lines += ["", *block] if lines else block
    return lines


def _rows(title: str, head: Sequence[str], rows: Iterable[Sequence[_Cell]]) -> Line:
    return _Rows(title, head, tuple(rows))


@dataclass(frozen=True)
class _Rows:
    """A table under its title; where there is no room for one, a line a row.

    A row whose first cell has a star is bold too.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[_Cell]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(printable(self.title), style="bold")
        table = self._table()
        roomy = options.update(max_width=_NARROWEST_TABLE)
        narrow = options.max_width < Measurement.get(console, roomy, table).maximum
        if narrow:
            yield from map(self._in_words, self.rows)
        else:
            yield table

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        for name in self.head:
            justify: JustifyMethod = "left" if name in _TO_THE_LEFT else "right"
            table.add_column(name, justify=justify, vertical="bottom", overflow="fold")
        for row in self.rows:
            # A Text, because a file's name may hold what rich reads as markup.
            cells = [Text(printable(cell)) if isinstance(cell, str) else cell for cell in row]
            table.add_row(*cells, style="bold" if str(row[0]).startswith("*") else None)
        return table

    def _in_words(self, row: Sequence[_Cell]) -> Text:
        named = zip(self.head, row, strict=True)
        said = [f"{name} {cell}".replace("\n", " ") for name, cell in named if name]
        return Text(printable(f"- {', '.join(said)}"), overflow="fold")


@dataclass(frozen=True)
class _Bar:
    """A bar in a cell. Rich's own draws what is missing as well, in another colour alone."""

    fraction: float

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        full, half = divmod(round(2 * _BAR_WIDTH * min(1, self.fraction)), 2)
        yield Text("-" * full if options.ascii_only else "━" * full + "╸" * half, style="cyan")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_BAR_WIDTH, _BAR_WIDTH)


def _names(models: Sequence[ModelBench]) -> list[str]:
    """The models' file names, or their paths where two have the same."""
    paths = [model.path.replace("\\", "/") for model in models]
    names = [path.rsplit("/", 1)[-1] for path in paths]
    return names if len(set(names)) == len(names) else paths


def _interval(rate: Rate) -> str:
    return f"{100 * rate.value:.2f} ({100 * rate.low:.2f}-{100 * rate.high:.2f})"
