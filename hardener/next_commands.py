"""The last lines of each command: what was written, and which command comes next.

Commands can be copied: paths are quoted, and no name that they would write is taken already. A
word in capitals stands for what is not known here: CLEAN and TEST are images, SCAN is a scan's
folder, MODEL.onnx and HARDENED.onnx are models.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hardener.documents.bench import BenchResult
from hardener.documents.inspection import Inspection
from hardener.documents.prune import PruneResult
from hardener.documents.repair import RepairResult
from hardener.documents.scan import ScanResult
from hardener.errors import DataError
from hardener.reporting.plain_text import command_line, path_argument
from hardener.scanning.saved import SCAN_FILE, load_scan

_HARDENED, _BENCH, _REPORT, _SCAN = "hardened.onnx", "bench.json", "report.html", "scan"
_REPAIR_INSTEAD = ("no-gain", "attack-left", "over-budget")
"""How a prune ends that repair may do better than."""


def after_export(model: Path, data: Path | None) -> list[str]:
    """A scan of the model.

    Args:
        model: that was written.
        data: images that logits were compared on, if any were named.
    """
    return [_scan(model, data, _free(model.parent / _SCAN))]


def after_scan(
    result: ScanResult, model: Path, data: Path | None, folder: Path, given: Sequence[str]
) -> list[str]:
    """A repair where there is something to repair, else the report.

    Args:
        result: of the scan.
        model: that was scanned.
        data: the clean images; None where there were none.
        folder: the scan's.
        given: options that the next command needs too.
    """
    if data is None:
        return [f"wrote {folder / SCAN_FILE}", _scan(model, None, folder, given)]
    wrote = f"wrote {folder / SCAN_FILE}; the triggers as pictures lie in {folder / 'triggers'}"
    if result.verdict == "backdoored" and result.targets:
        return [wrote, _repair(model, folder, data, given)]
    return [wrote, _report("next", folder, folder, run=(model, data))]


def after_hardening(
    result: PruneResult | RepairResult,
    model: Path,
    scan: Path | None,
    data: Path | None,
    output: Path,
    given: Sequence[str],
) -> list[str]:
    """The measurement and the report, or what may help where nothing was written.

    Args:
        result: of `repair` or `prune`.
        model: that was to be hardened.
        scan: folder of the scan; None where channels were named.
        data: the clean images, likewise.
        output: the hardened model.
        given: options that the next command needs too.
    """
    if result.outcome == "planned":
        return ["next: the same command without --dry-run, which writes it"]
    if result.outcome == "written":
        document = output.with_suffix(".json")
        measured = _free(output.parent / _BENCH)
        lines = [f"wrote {document}", _bench(model, output, scan, measured, given)]
        if scan is None or data is None:
            return lines
        run = model, data
        page = _report("then", scan, output, run=run, hardened=document, bench=measured)
        return [*lines, page]
    if scan is None or data is None:
        return []
    if isinstance(result, PruneResult) and result.outcome in _REPAIR_INSTEAD:
        return [_repair(model, scan, data, given)]
    return [_report("next", scan, scan, run=(model, data))]


def after_bench(
    result: BenchResult, models: Sequence[Path], scan: Path | None, output: Path
) -> list[str]:
    """The report, where it can show what was measured.

    Args:
        result: of `bench`.
        models: that were measured.
        scan: folder of the scan; None where none was named.
        output: the measurements.
    """
    wrote = f"wrote {output}"
    if scan is not None and load_scan(scan).model.sha256 != result.model.sha256:
        return [wrote]
    documents = [path.with_suffix(".json") for path in models[1:]]
    hardened = [path for path in documents if _is_of(path, result.model.sha256)]
    last = hardened[-1] if hardened else None
    run = models[0], Path(result.data.path)
    folder = scan or Path("SCAN")
    return [wrote, _report("next", folder, output, run=run, hardened=last, bench=output)]


def after_report(
    scan: Path,
    hardened: Path | None,
    bench: Path | None,
    run: tuple[Path, Path] | None = None,
) -> list[str]:
    """What the page does not show yet: a repair, or a measurement.

    Args:
        scan: folder of the scan.
        hardened: what `repair` or `prune` wrote, if it was named.
        bench: what `bench` wrote, if it was named.
        run: the scanned model and the images that were named, if they were.
    """
    scanned = load_scan(scan)
    model = run[0] if run else _still_there(scanned.model.path, "MODEL.onnx")
    if hardened is None:
        if scanned.verdict != "backdoored" or not scanned.targets or scanned.data is None:
            return []
        data = run[1] if run else _still_there(scanned.data.path, "CLEAN")
        return [_repair(model, scan, data, ())]
    if bench is None:
        measured = _free(hardened.parent / _BENCH)
        written = _still_there(str(hardened.with_suffix(".onnx")), "HARDENED.onnx")
        return [_bench(model, written, scan, measured, ())]
    return []


def after_inspect(result: Inspection, model: Path) -> list[str]:
    """A scan of the model, where it can be scanned.

    Args:
        result: of `inspect`.
        model: that was inspected.
    """
    if "scan" in result.refusals:
        return []
    known = result.preprocessing
    asked = [] if {"mean", "std"} <= set(known) else ["--mean", "MEAN", "--std", "STD"]
    if result.size is None and "size" not in known:
        asked += ["--size", "SIZE"]
    return [_scan(model, None, _free(model.parent / _SCAN), asked)]


def after_demo(folder: Path) -> list[str]:
    """The report of what the demo left in its folder.

    Args:
        folder: that it worked in.
    """
    hardened, bench = folder / "hardened.json", folder / _BENCH
    run = folder / "model.onnx", folder / "clean.npz"
    return [
        f"wrote {folder}: model.onnx, {_SCAN}, {_HARDENED}, hardened.json, {_BENCH}",
        _report("next", folder / _SCAN, folder / _SCAN, run=run, hardened=hardened, bench=bench),
        "then: harden export and harden scan on a model of yours",
    ]


def _scan(model: Path, data: Path | None, folder: Path, given: Sequence[str] = ()) -> str:
    images = "CLEAN" if data is None else path_argument(data)
    return _line(
        "next", "scan", path_argument(model), "--data", images, *given, "-o", path_argument(folder)
    )


def _repair(model: Path, scan: Path, data: Path, given: Sequence[str]) -> str:
    output = path_argument(_free(scan.parent / _HARDENED))
    read = ("--scan", path_argument(scan), "--data", path_argument(data))
    return _line("next", "repair", path_argument(model), *read, *given, "-o", output)


def _bench(
    model: Path, hardened: Path, scan: Path | None, output: Path, given: Sequence[str]
) -> str:
    tried = () if scan is None else ("--scan", path_argument(scan))
    compared = (path_argument(model), path_argument(hardened), "--data", "TEST")
    return _line("next", "bench", *compared, *tried, *given, "-o", path_argument(output))


def _report(
    when: str,
    scan: Path,
    beside: Path,
    *,
    run: tuple[Path, Path] | None = None,
    hardened: Path | None = None,
    bench: Path | None = None,
) -> str:
    """A report; `run` is the scanned model and the images that it shall be shown on."""
    shown = (
        [] if run is None else ["--model", path_argument(run[0]), "--data", path_argument(run[1])]
    )
    shown += [] if hardened is None else ["--hardened", path_argument(hardened)]
    shown += [] if bench is None else ["--bench", path_argument(bench)]
    page = path_argument(_free(beside.parent / _REPORT))
    return _line(when, "report", path_argument(scan), *shown, "-o", page)


def _line(when: str, *words: str) -> str:
    return f"{when}: {command_line('harden', *words)}"


def _free(path: Path) -> Path:
    """The path, or one with a number where there is something already."""
    candidate, number = path, 1
    while candidate.exists() or _document(candidate).exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _document(path: Path) -> Path:
    """What is written beside a hardened model; of other files themselves."""
    return path.with_suffix(".json") if path.suffix == ".onnx" else path


def _still_there(path: str, placeholder: str) -> Path:
    with suppress(OSError, ValueError):  # a name that no file can have
        if Path(path).exists():
            return Path(path)
    return Path(placeholder)


def _is_of(path: Path, sha256: str) -> bool:
    """Whether a file is what `repair` or `prune` wrote of a model."""
    for kind in (RepairResult, PruneResult):
        with suppress(DataError):
            return kind.read(path).model.sha256 == sha256
    return False
