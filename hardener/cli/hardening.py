"""What `prune` and `repair` say alike: the costs, how it ended, what comes next."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hardener.cli.lines import Line, Sentence
from hardener.cli.next_commands import BENCH, free, next_bench, report_line
from hardener.reporting.plain_text import percent

if TYPE_CHECKING:
    from hardener.documents.hardening import Hardening
    from hardener.documents.prune import PruneResult
    from hardener.documents.repair import RepairResult


def costs(result: "Hardening", attack: str) -> list[Line]:
    """What was measured before and after on images that chose nothing."""
    from hardener.reporting.outcomes import before_and_after

    if result.accuracy_before is None:
        return []
    rates = [row for row in before_and_after(result, attack) if row[1] is not None]
    said = (f"{name} {percent(before)} → {percent(after)}" for name, before, after in rates)
    return [Sentence(f"on {result.reported_on} other images: {', '.join(said)}")]


def ending(outcome: str) -> Line:
    """How it ended; a line that names what was written can be copied."""
    return outcome if outcome.startswith("wrote ") else Sentence(outcome)


def after_hardening(
    result: "PruneResult | RepairResult",
    model: Path,
    scan: Path | None,
    data: Path | None,
    output: Path,
    given: Sequence[str],
) -> list[str]:
    """The measurement and the report, or the report alone where nothing was written."""
    run = None if scan is None or data is None else (model, data)
    if result.outcome != "written":
        return [] if scan is None else [report_line("next", scan, scan, run=run)]
    document = output.with_suffix(".json")
    measured = free(output.parent / BENCH)
    tried = scan if result.has_trigger else None
    lines = [f"wrote {document}", next_bench(model, output, tried, measured, given)]
    if scan is None:
        return lines
    return [*lines, report_line("then", scan, output, run=run, hardened=document, bench=measured)]
