"""`harden repair`: trains the backdoor out of a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hardener
from hardener.cli.command import Command
from hardener.cli.hardening import after_hardening, costs, ending
from hardener.cli.lines import Bar, Line, Rows, Sentence, apart, notes
from hardener.cli.options import Common, DataOption, ModelArgument, ReportOption, Running
from hardener.cli.page import check_report, opened_for, write_page
from hardener.cli.printing import show_run, under_way
from hardener.exit_codes import OF_AN_OUTCOME
from hardener.reporting.plain_text import percent

if TYPE_CHECKING:
    from hardener.documents.repair import RepairResult, RepairRound


def _repair(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The repaired ONNX file; a .json goes beside it."),
    ],
    scan: Annotated[Path, typer.Option(help="Folder of a finished scan.")],
    data: DataOption,
    max_accuracy_drop: Annotated[
        float, typer.Option(help="Accuracy that may be lost, as a fraction of all images.")
    ] = 0.01,
    max_attack_success: Annotated[
        float,
        typer.Option(help="Attack success rate of synthetic triggers that may be left."),
    ] = 0.1,
    rounds: Annotated[
        int, typer.Option(help="At most so many rounds of distilling and inverting again.")
    ] = 6,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Repair although the scan found nothing; write over budget, or with too much of "
            "the attack left.",
        ),
    ] = False,
    report: ReportOption = None,
    *,
    running: Running,
    common: Common,
) -> int:
    """Train the model, without labels, not to answer to the scan's triggers; the graph stays."""
    check_report(report, output, model, data, running.policy)
    with under_way(running, common) as how:
        opened, saved = opened_for(report, model, scan, how["preprocessing"])
        result = hardener.repair(
            opened,
            saved,
            data,
            output,
            max_accuracy_drop=max_accuracy_drop,
            max_attack_success=max_attack_success,
            rounds=rounds,
            force=force,
            **how,
        )
    after = after_hardening(result, model, scan, data, output, running.given())
    show_run(result, [*summary(result), *after], common)
    write_page(report, saved, running, common, model=opened, data=data, hardened=result)
    return OF_AN_OUTCOME[result.outcome]


def summary(result: "RepairResult") -> list[Line]:
    """The rounds, which was kept, and what it costs."""
    from hardener.reporting.outcomes import repair_outcome

    measured = costs(result, "attack success of triggers not trained on")
    if result.strengthened_success_rate_after is not None:
        measured.append(
            Sentence(
                "there after the repair: stronger versions "
                f"{percent(result.strengthened_success_rate_after)}, the scan's own triggers "
                f"{percent(result.scan_success_rate_after)}"
            )
        )
    tables = _rounds(result) if result.rounds else []
    return apart(tables, [*measured, *notes(result.notes), ending(repair_outcome(result))])


def _rounds(result: "RepairResult") -> list[Line]:
    rows = tuple(
        (
            "none" if number == 0 else f"{'* ' * (number == result.chosen_round)}{number}",
            percent(row.accuracy),
            percent(row.attack_success_rate),
            Bar(row.attack_success_rate),
            percent(row.strengthened_success_rate),
            percent(row.robust_accuracy),
            _smallest_left(row),
        )
        for number, row in enumerate(result.rounds)
    )
    title = f"Rounds on {result.chosen_on} images that choose ({result.images_used} others train)"
    head = (
        *("round", "accuracy", "attack\nsuccess", "", "stronger\ntriggers"),
        *("robust\naccuracy", "smallest\nleft"),
    )
    return [
        Rows(title, head, rows),
        Sentence(
            "attack success is of triggers not trained on, then of stronger versions of them; "
            "smallest left is the trigger that still works, beside the scan's median; * is kept"
        ),
    ]


def _smallest_left(found: "RepairRound") -> str:
    """Size and kind of the trigger that is smallest beside the scan's of its kind."""
    left = found.relative_sizes
    smallest = min(left, key=lambda kind: left[kind], default=None)
    return "none" if smallest is None else f"{left[smallest]:.2f} {smallest}"


REPAIR = Command("repair", _repair)
