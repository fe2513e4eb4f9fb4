"""`harden bench`: measures models side by side."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hardener
from hardener.cli.command import Command
from hardener.cli.lines import Line, Rows, apart
from hardener.cli.next_commands import report_line
from hardener.cli.options import Common, DataOption, ReportOption, Running
from hardener.cli.page import check_report, write_page
from hardener.cli.printing import show_run, under_way
from hardener.errors import DataError, UsageError
from hardener.exit_codes import DONE

if TYPE_CHECKING:
    from hardener.documents.bench import BenchResult, ModelBench
    from hardener.documents.rates import Rate
    from hardener.scanning.saved import SavedScan


def _bench(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL.onnx [OTHER.onnx ...]", help="ONNX classifiers to compare."),
    ],
    data: DataOption,
    output: Annotated[Path, typer.Option("-o", "--output", help="The JSON file to write.")],
    trigger: Annotated[Path | None, typer.Option(help="The true trigger (.npz), if known.")] = None,
    target: Annotated[
        int | None, typer.Option(help="Target label; by default the trigger's or the scan's.")
    ] = None,
    scan: Annotated[
        Path | None, typer.Option(help="Folder of a scan whose synthetic trigger is tried.")
    ] = None,
    report: ReportOption = None,
    *,
    running: Running,
    common: Common,
) -> int:
    """Measure accuracy, attack success rate, robust accuracy and latency side by side."""
    check_report(report, output, *models, data, trigger, running.policy)
    if report is not None and scan is None:
        raise UsageError("--report shows a scan too: give --scan DIR")
    saved = None if scan is None else hardener.open_scan(scan)
    scanned = {} if saved is None else saved.result.preprocessing.fields
    with under_way(running, common) as how:
        opened = [hardener.open_model(one, how["preprocessing"], scanned) for one in models]
        if report is not None and saved and saved.result.model.sha256 != opened[0].sha256:
            raise UsageError(
                f"--report shows the scanned model beside others: name the model of {scan} first"
            )
        result = hardener.bench(
            opened, data, output, trigger=trigger, target=target, scan=saved, **how
        )
    lines = [*summary(result), *what_next(result, models, saved, output)]
    show_run(result, lines, common, *_not_tried(result, trigger, saved))
    write_page(
        report,
        saved,
        running,
        common,
        model=opened[0],
        data=data,
        bench=result,
        beside=opened[1] if len(opened) > 1 else None,
        known_trigger=trigger,
    )
    return DONE


def _not_tried(result: "BenchResult", trigger: Path | None, scan: "SavedScan | None") -> list[str]:
    """What could have been measured, and how."""
    if scan is None:
        missing = "no --trigger and no --scan: attack success is not measured"
        return [missing] if trigger is None else []
    others = [str(label) for label in scan.result.targets if label != result.target]
    if not others:
        return []
    return [
        f"target {result.target} alone is tried; the scan also names {', '.join(others)}: "
        "--target tries another one"
    ]


def what_next(
    result: "BenchResult", models: Sequence[Path], scan: "SavedScan | None", output: Path
) -> list[str]:
    """The report, where it can show what was measured."""
    wrote = f"wrote {output}"
    if scan is not None and scan.result.model.sha256 != result.model.sha256:
        return [wrote]
    documents = [path.with_suffix(".json") for path in models[1:]]
    hardened = [path for path in documents if _is_of(path, result.model.sha256)]
    first = hardened[0] if hardened else None
    run = models[0], Path(result.data.path)
    folder = Path("SCAN") if scan is None else scan.folder
    return [wrote, report_line("next", folder, output, run=run, hardened=first, bench=output)]


def _is_of(path: Path, sha256: str) -> bool:
    """Whether a file is what `repair` or `prune` wrote of a model."""
    from hardener.documents.prune import PruneResult
    from hardener.documents.repair import RepairResult

    for kind in (RepairResult, PruneResult):
        with suppress(DataError):
            return kind.read(path).model.sha256 == sha256
    return False


def summary(result: "BenchResult") -> list[Line]:
    """Accuracy, what the attack does, and latency of every model."""
    named = list(zip(_names(result.models), result.models, strict=True))
    accuracies = tuple((name, _interval(model.accuracy)) for name, model in named)
    title = f"Accuracy on {result.data.count} images, % with 95 % interval"
    tables = [Rows(title, ("model", "accuracy"), accuracies)]
    if any(model.attack_success_rate for model in result.models):
        attacks = tuple(
            (name, setting, _interval(attack), _interval(model.robust_accuracy[setting]))
            for name, model in named
            for setting, attack in model.attack_success_rate.items()
        )
        hits = "all labels exchanged" if result.target is None else f"target label {result.target}"
        title = f"Under attack, {hits}, % with 95 % interval"
        head: tuple[str, ...] = ("model", "setting", "attack success", "robust accuracy")
        tables.append(Rows(title, head, attacks))
    threads = result.models[0].latency[0].threads
    latencies = tuple(
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
    tables.append(Rows(f"Latency on {result.provider}, {threads} threads, ms", head, latencies))
    return [*apart(*([one] for one in tables)), ""]


def _names(models: Sequence["ModelBench"]) -> list[str]:
    """The models' file names, or their paths where two have the same."""
    paths = [model.path.replace("\\", "/") for model in models]
    names = [path.rsplit("/", 1)[-1] for path in paths]
    return names if len(set(names)) == len(names) else paths


def _interval(rate: "Rate") -> str:
    return f"{100 * rate.value:.2f} ({100 * rate.low:.2f}-{100 * rate.high:.2f})"


BENCH = Command("bench", _bench)
