"""The page that a command writes beside its result, where --report asks for one."""

from pathlib import Path
from typing import Any

from hardener.cli.options import Common, Running
from hardener.cli.printing import complain
from hardener.errors import HardenError, UsageError


def check_report(report: Path | None, output: Path, *inputs: Path | None) -> None:
    """Refuses, before long work, a page that cannot go by its name.

    Args:
        report: the page, if one was asked for.
        output: where the result goes.
        inputs: what the command reads.

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
    scan: Path | None,
    running: Running,
    common: Common,
    **shown: Any,  # noqa: ANN401  passed on as they are
) -> None:
    """Writes the page that a command was asked for beside its result, and says so.

    The result is there by now and keeps its exit code where the page cannot be made.

    Args:
        page: the page, if one was asked for.
        scan: folder of the scan; without one there is no page.
        running: how the model is run.
        common: of the command.
        shown: what the page shows beside the scan.
    """
    if page is None or scan is None:
        return
    from hardener.cli.console import note, progress_bars
    from hardener.reporting.page import report as run

    try:
        with progress_bars(quiet=common.quiet) as progress:
            result = run(
                scan,
                page,
                preprocessing=running.preprocessing(),
                provider=running.provider,
                seed=common.seed,
                progress=progress,
                **shown,
            )
    except HardenError as error:
        complain(f"{page} was not written, all else is as told: {error}")
        return
    note(f"wrote {result.report}: open it in any browser", quiet=common.quiet)
    note_missing(result.missing, common)


def note_missing(missing: tuple[str, ...], common: Common) -> None:
    """Says what a page does not show."""
    from hardener.cli.console import note

    for sentence in missing:
        note(f"the page does not show {sentence}", quiet=common.quiet)
