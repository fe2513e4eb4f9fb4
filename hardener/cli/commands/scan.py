"""`harden scan`: looks for a backdoor."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hardener
from hardener.cli.command import Command
from hardener.cli.lines import Bar, Cell, Line, Rows, Sentence, apart
from hardener.cli.next_commands import next_repair, next_scan, report_line
from hardener.cli.options import Common, ModelArgument, ReportOption, Running
from hardener.cli.page import check_report, write_page
from hardener.cli.parsers import whole_numbers
from hardener.cli.printing import show_run, under_way
from hardener.exit_codes import OF_A_VERDICT
from hardener.reporting.plain_text import percent

if TYPE_CHECKING:
    from hardener.documents.scan import ChannelEvidence, LabelEvidence, ScanResult

_LABELS_SHOWN = 3
"""Of each kind of trigger: a result shall fit on a screen."""
_LABELS_SHOWN_WITHOUT_IMAGES = 5
_CHANNELS_SHOWN = 5
_REASONS_SHOWN = 8

_STYLES = {"backdoored": "bold red", "inconclusive": "bold yellow", "clean": "bold green"}


def _scan(
    model: ModelArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for scan.json and the triggers.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled images, as for the other commands. Without them only what needs none "
            "is looked at, and the verdict is never clean.",
        ),
    ] = None,
    labels: Annotated[
        Sequence[int] | None,
        typer.Option(
            metavar="K[,K...]",
            parser=whole_numbers("--labels"),
            help="Labels to look at; by default all of them.",
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(help="Tensor to use as feature layer instead of the graph's own."),
    ] = None,
    known_trigger: Annotated[
        Path | None,
        typer.Option(help="The true trigger (.npz), for evaluation; no part of the verdict."),
    ] = None,
    report: ReportOption = None,
    *,
    running: Running,
    common: Common,
) -> int:
    """Look for a backdoor. Exit code 0: none found, 1: found, 3: inconclusive.

    An interrupted scan goes on where it was when the same command runs again: what it had found is
    kept until then in $XDG_CACHE_HOME/hardener/scans, by default ~/.cache/hardener/scans.
    """
    check_report(report, output, model, data, known_trigger, running.policy)
    with under_way(running, common) as how:
        opened = hardener.open_model(model, how["preprocessing"])
        result = hardener.scan(
            opened,
            data,
            output,
            labels=labels,
            layer=layer,
            known_trigger=known_trigger,
            **how,
        )
    after = what_next(result, model, data, output, running.given())
    show_run(result, [*summary(result), *after], common)
    scanned = None if data is None else opened
    write_page(
        report, output, running, common, model=scanned, data=data, known_trigger=known_trigger
    )
    return OF_A_VERDICT[result.verdict]


def what_next(
    result: "ScanResult", model: Path, data: Path | None, folder: Path, given: Sequence[str]
) -> list[str]:
    """A repair where there is something to repair, else the report."""
    from hardener.scanning.found_exchanges import exchanges_labels
    from hardener.scanning.saved import SCAN_FILE

    if data is None:
        return [f"wrote {folder / SCAN_FILE}", next_scan(model, None, folder, given)]
    wrote = f"wrote {folder / SCAN_FILE}; the triggers as pictures lie in {folder / 'triggers'}"
    found = result.verdict == "backdoored" and (result.targets or exchanges_labels(result))
    if result.graph_logic or found:
        return [wrote, next_repair(model, folder, data, given)]
    return [wrote, report_line("next", folder, folder, run=(model, data))]


def summary(result: "ScanResult") -> list[Line]:
    """The most suspicious labels and channels, reasons, the verdict."""
    from hardener.scanning.found_exchanges import exchanges_labels

    targets = f", target label {', '.join(map(str, result.targets))}" if result.targets else ""
    if exchanges_labels(result):
        targets = ", all labels exchanged"
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
    return apart(*([one] for one in tables), _reasons(result.reasons), [*_blind(result), verdict])


def _blind(result: "ScanResult") -> list[Line]:
    """What a verdict that accuses nobody says nothing about."""
    from hardener.reporting.outcomes import not_looked_for

    said = "" if result.verdict == "backdoored" else not_looked_for(result)
    return [Sentence(said)] if said else []


def _reasons(reasons: Sequence[str]) -> list[Line]:
    lines: list[Line] = [Sentence(reason, "- ") for reason in reasons[:_REASONS_SHOWN]]
    left = len(reasons) - _REASONS_SHOWN
    return [*lines, Sentence(f"and {left} more in scan.json", "- ")] if left > 0 else lines


def _tables_of_images(result: "ScanResult") -> list[Line]:
    """The easiest labels of each kind of trigger, and the channels that answer most."""
    head = ("trigger", "label", "size", "of median", "", "anomaly", "success")
    rows = tuple(_smallest(result.searched))
    lines: list[Line] = [Rows("Smallest triggers, drawn beside the median", head, rows)]
    if result.channels:
        channels = "; ".join(map(_said_of_channel, result.channels[:_CHANNELS_SHOWN]))
        lines.append(
            Sentence(
                f"Strongest channels of {result.layer.name}, mean peak without → with the trigger: "
                f"{channels}"
            )
        )
    return lines


def _smallest(rows: Sequence["LabelEvidence"]) -> Iterator[Sequence[Cell]]:
    """The labels with the smallest triggers of each kind that were found."""
    from hardener.triggers.families import FAMILIES

    for kind, family in FAMILIES.items():
        found = [(row.of_kind(kind), row) for row in rows if not row.of_kind(kind).nothing_found]
        found.sort(key=lambda pair: pair[0].relative_size)
        for trigger, row in found[:_LABELS_SHOWN]:
            yield (
                kind,
                str(row.label),
                family.size_shown.format(row.size_of(kind)),
                f"{trigger.relative_size:.2f}",
                Bar(trigger.relative_size),
                f"{trigger.anomaly_index:.1f}",
                percent(trigger.trigger_success_rate),
            )


def _said_of_channel(channel: "ChannelEvidence") -> str:
    return f"{channel.channel} ({channel.linf_clean:.2f} → {channel.linf_triggered:.2f})"


def _tables_without_images(result: "ScanResult") -> list[Line]:
    """The labels that get furthest ahead, and those with the largest mean weights."""
    tables: list[Line] = []
    if result.margins is not None:
        largest = result.margins.largest
        best = tuple((str(label), f"{largest[label]:.1f}") for label in _best(largest))
        tables.append(Rows("Largest margins", ("label", "margin"), best))
    if result.last_layer is not None:
        means, indices = result.last_layer.mean_weights, result.last_layer.anomaly_indices
        of_weights = tuple(
            (str(label), f"{means[label]:.4f}", f"{indices[label]:.1f}") for label in _best(indices)
        )
        head = ("label", "mean", "anomaly")
        tables.append(Rows("Last layer, mean weights", head, of_weights))
    return tables


def _best(values: Sequence[float]) -> list[int]:
    ranked = sorted(range(len(values)), key=lambda position: -values[position])
    return ranked[:_LABELS_SHOWN_WITHOUT_IMAGES]


SCAN = Command("scan", _scan)
