"""The page that a command writes beside its result, where --report asks for one."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hardener
from hardener.cli.options import Common, Running
from hardener.cli.printing import complain, note, under_way
from hardener.errors import HardenError, UsageError

if TYPE_CHECKING:
    from hardener.model.classifier import ModelGiven
    from hardener.scanning.saved import ScanGiven


def check_report(report: Path | None, output: Path, *inputs: Path | None) -> None:
    """Refuses, before long work, a page that cannot go by its name.

    Raises:
        UsageError: the page would lie where something else does.
    """
    from hardener.files import check_output

    if report is None:
        return
    check_output(report, ".html", *inputs)
    page, written = report.resolve(), output.resolve()
    if page == written or page in written.parents:
        raise UsageError(f"{report} is where the result goes: give the page another name")


def write_page(
    page: Path | None,
    scan: "ScanGiven | None",
    running: Running,
    common: Common,
    **shown: Any,  # noqa: ANN401  passed on as they are
) -> None:
    """Writes the page that a command was asked for beside its result, and says so.

    The result is there by now and keeps its exit code where the page cannot be made.
    """
    if page is None or scan is None:
        return
    try:
        with under_way(running, common) as how:
            result = hardener.report(scan, page, **how, **shown)
    except HardenError as error:
        complain(f"{page} was not written, all else is as told: {error}")
        return
    note(common, f"wrote {result.report}: open it in any browser", *said_missing(result.missing))


def opened_for(
    page: Path | None, model: Path, scan: Path, preprocessing: Sequence[dict[str, Any]]
) -> tuple["ModelGiven", "ScanGiven"]:
    """Model and scan, opened here where a page needs them once more."""
    if page is None:
        return model, scan
    saved = hardener.open_scan(scan)
    sizes = [saved.result.preprocessing.fields, *preprocessing]
    return hardener.open_model(model, sizes), saved


def said_missing(missing: Iterable[str]) -> list[str]:
    """What a page does not show, as sentences."""
    return [f"the page does not show {sentence}" for sentence in missing]
