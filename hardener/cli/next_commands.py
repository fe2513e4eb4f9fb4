"""The lines that name the command that comes next.

Commands can be copied: paths are quoted, and no name that they would write is taken already. A
word in capitals stands for what is not known here: CLEAN and TEST are images, SCAN is a scan's
folder, MODEL.onnx and HARDENED.onnx are models.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hardener.reporting.plain_text import command_line, path_argument

HARDENED, BENCH, _REPORT, SCAN = "hardened.onnx", "bench.json", "report.html", "scan"


def next_scan(model: Path, data: Path | None, folder: Path, given: Sequence[str] = ()) -> str:
    """A scan of a model into a folder."""
    images = "CLEAN" if data is None else path_argument(data)
    return _line(
        "next", "scan", path_argument(model), "--data", images, *given, "-o", path_argument(folder)
    )


def next_repair(model: Path, scan: Path, data: Path, given: Sequence[str] = ()) -> str:
    """A repair of a scanned model."""
    output = path_argument(free(scan.parent / HARDENED))
    read = ("--scan", path_argument(scan), "--data", path_argument(data))
    return _line("next", "repair", path_argument(model), *read, *given, "-o", output)


def next_bench(
    model: Path, hardened: Path, scan: Path | None, output: Path, given: Sequence[str] = ()
) -> str:
    """A measurement of a model and its hardened form."""
    tried = () if scan is None else ("--scan", path_argument(scan))
    compared = (path_argument(model), path_argument(hardened), "--data", "TEST")
    return _line("next", "bench", *compared, *tried, *given, "-o", path_argument(output))


def report_line(
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
    page = path_argument(free(beside.parent / _REPORT))
    return _line(when, "report", path_argument(scan), *shown, "-o", page)


def _line(when: str, *words: str) -> str:
    return f"{when}: {command_line('harden', *words)}"


def free(path: Path) -> Path:
    """The path, or one with a number where there is something already."""
    candidate, number = path, 1
    while candidate.exists() or _document(candidate).exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _document(path: Path) -> Path:
    """What is written beside a hardened model; of other files themselves."""
    return path.with_suffix(".json") if path.suffix == ".onnx" else path


def still_there(path: str, placeholder: str) -> Path:
    """The path where something lies there, else the placeholder."""
    with suppress(OSError, ValueError):  # a name that no file can have
        if Path(path).exists():
            return Path(path)
    return Path(placeholder)
