"""`harden report`: one HTML page that shows it all."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hardener
from hardener.cli.command import Command
from hardener.cli.lines import Line
from hardener.cli.next_commands import BENCH, free, next_bench, next_repair, still_there
from hardener.cli.options import Common, Running
from hardener.cli.page import check_report, said_missing
from hardener.cli.parsers import whole_numbers
from hardener.cli.printing import note, show, under_way
from hardener.exit_codes import DONE

if TYPE_CHECKING:
    from hardener.documents.page import ReportResult
    from hardener.scanning.saved import SavedScan


def _report(
    scan: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a finished scan.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    hardened: Annotated[
        Path | None, typer.Option(help="JSON file that repair or prune wrote beside its model.")
    ] = None,
    bench: Annotated[Path | None, typer.Option(help="JSON file that bench wrote.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="The scanned model: also shows what it looks at; with --data."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled images to run it on, best the scan's.")
    ] = None,
    known_trigger: Annotated[
        Path | None, typer.Option(help="The true trigger, where an evaluator has it.")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(help="A second model to show beside it; by default the hardened one."),
    ] = None,
    images: Annotated[
        Sequence[int] | None,
        typer.Option(
            metavar="N[,N]",
            parser=whole_numbers("--images"),
            help="Which images to show, from 0; else typical ones.",
        ),
    ] = None,
    *,
    running: Running,
    common: Common,
) -> int:
    """Write one HTML page that shows a scan, what was done about it and what that changed."""
    check_report(output, scan, running.policy)
    with under_way(running, common) as how:
        saved = hardener.open_scan(scan)
        result = hardener.report(
            saved,
            output,
            hardened=hardened,
            bench=bench,
            model=model,
            data=data,
            known_trigger=known_trigger,
            beside=beside,
            images=images,
            **how,
        )
    note(common, *said_missing(result.missing))
    run = None if model is None or data is None else (model, data)
    show(result, [*summary(result), *what_next(saved, hardened, bench, run)], common)
    return DONE


def summary(result: "ReportResult") -> list[Line]:
    """Where the page lies."""
    return [f"wrote {result.report} ({result.bytes / 1000:.0f} kB): open it in any browser"]


def what_next(
    scan: "SavedScan",
    hardened: Path | None,
    bench: Path | None,
    run: tuple[Path, Path] | None = None,
) -> list[str]:
    """What the page does not show yet: a repair, or a measurement."""
    from hardener.scanning.found_exchanges import exchanges_labels

    scanned, folder = scan.result, scan.folder
    model = run[0] if run else still_there(scanned.model.path, "MODEL.onnx")
    if hardened is None:
        mendable = scanned.targets or exchanges_labels(scanned)
        if scanned.verdict != "backdoored" or not mendable or scanned.data is None:
            return []
        return [
            next_repair(model, folder, run[1] if run else still_there(scanned.data.path, "CLEAN"))
        ]
    if bench is None:
        written = still_there(str(hardened.with_suffix(".onnx")), "HARDENED.onnx")
        return [next_bench(model, written, folder, free(hardened.parent / BENCH))]
    return []


REPORT = Command("report", _report)
