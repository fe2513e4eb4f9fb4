"""`harden demo`: the whole way, on a bundled model."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import hardener
from hardener.cli.command import Command
from hardener.cli.commands import bench, export, repair, scan
from hardener.cli.lines import Line, Sentence
from hardener.cli.next_commands import BENCH, HARDENED, SCAN, report_line
from hardener.cli.options import TEXT, Common, ProviderOption
from hardener.cli.printing import print_for_people, show_run
from hardener.exit_codes import DONE

if TYPE_CHECKING:
    from hardener.documents.bench import BenchResult
    from hardener.documents.document import Document

_SUMMARIES: Mapping[str, Callable[[Any], list[Line]]] = {
    "ExportResult": export.summary,
    "ScanResult": scan.summary,
    "RepairResult": repair.summary,
    "BenchResult": bench.summary,
}


def _demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to work in.")] = Path(
        "demo"
    ),
    provider: ProviderOption = "auto",
    *,
    common: Common,
) -> int:
    """Harden a bundled backdoored model from end to end, on rendered traffic signs."""
    from hardener.cli.console import progress_bars

    with progress_bars(quiet=common.quiet) as progress:

        def show_stage(command: str, result: "Document") -> None:
            if common.output_format == TEXT:
                with progress.set_aside():
                    print_for_people(
                        ["", f"$ {command}", *_SUMMARIES[type(result).__name__](result)]
                    )

        result = hardener.demo(
            output, provider=provider, seed=common.seed, progress=progress, show=show_stage
        )
    show_run(result, ["", *summary(result), *what_next(output)], common)
    return DONE


def summary(result: "BenchResult") -> list[Line]:
    """What the demo changed, in one sentence."""
    before, after = (model.attack_success_rate["clean+ori"].value for model in result.models)
    return [
        Sentence(
            f"The true trigger's attack success went from {before:.1%} to {after:.1%}; accuracy "
            f"from {result.models[0].accuracy.value:.1%} to {result.models[1].accuracy.value:.1%}."
        )
    ]


def what_next(folder: Path) -> list[str]:
    """The report of what the demo left in its folder."""
    hardened, measured = folder / "hardened.json", folder / BENCH
    run = folder / "model.onnx", folder / "clean.npz"
    page = report_line(
        "next", folder / SCAN, folder / SCAN, run=run, hardened=hardened, bench=measured
    )
    return [
        f"wrote {folder}: model.onnx, {SCAN}, {HARDENED}, hardened.json, {BENCH}",
        page,
        "then: harden export and harden scan on a model of yours",
    ]


DEMO = Command("demo", _demo)
