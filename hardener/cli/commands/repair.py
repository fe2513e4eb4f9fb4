"""`harden repair`: takes the backdoor out of a model's weights."""

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
    from hardener.documents.repair import RepairResult


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
        int, typer.Option(help="At most so many rounds of fitting and searching again.")
    ] = 3,
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
    """Give the model weights, without labels, that stop answering to triggers; the graph stays."""
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

    measured = costs(result, "attack success of triggers not fitted on")
    measured += [
        Sentence(
            f"{logic.said} was the same, or all but the same, for every clean image, and is a "
            "constant now"
        )
        for logic in result.removed
    ]
    if result.removal_changed is not None:
        measured.append(Sentence(_changed(result.removal_changed)))
    if result.accuracy_lost is not None:
        lost = result.accuracy_lost
        measured.append(
            Sentence(
                f"accuracy lost: {percent(lost.value)}, with 95 % confidence between "
                f"{percent(lost.low)} and {percent(lost.high)}, on all images that nothing was "
                f"fitted on{', which also chose by it' if result.rounds else ''} "
                f"({result.groups} groups of images that look alike)"
            )
        )
    left = result.residual_success
    if left is not None:
        held, anyway = percent(left.held_against or 0.0), percent(result.unprovoked)
        there = "to the target label" if result.has_target else "where the attack sends their label"
        without = f"; without any trigger {anyway} of the images go {there}"
        aside = ", universal ones aside" if result.has_target else ""
        measured.append(
            Sentence(
                f"left of the attack: {percent(left.estimate)} by the worst trigger at hand{aside}"
                f"; upper bound {percent(left.upper)}, though the attacker's "
                f"own trigger may keep more; held against the model {held}{without}"
            )
        )
    tables = [*_rounds(result), *_left(result)] if result.rounds else []
    return apart(tables, [*measured, *notes(result.notes), ending(repair_outcome(result))])


def _changed(largest: float) -> str:
    """What taking logic out of the graph did to clean images."""
    if largest:
        return f"that changes the scores of other clean images by {largest:.2g} at most"
    return "the scores of all other clean images stay as they were, bit by bit"


def _rounds(result: "RepairResult") -> list[Line]:
    rows = tuple(
        (
            "none" if number == 0 else f"{'* ' * (number == result.chosen_round)}{number}",
            percent(row.accuracy),
            percent(row.attack_success_rate),
            Bar(row.attack_success_rate),
            percent(row.strengthened_success_rate),
            percent(row.robust_accuracy),
            f"{row.suspicion:.2f}",
        )
        for number, row in enumerate(result.rounds)
    )
    searched = (
        "of the target labels by their triggers alone"
        if result.has_target
        else "of what exchanges most labels"
    )
    title = f"Rounds on {result.chosen_on} images that choose ({result.images_used} others fit)"
    head = (
        *("round", "accuracy", "attack\nsuccess", "", "stronger\ntriggers"),
        *("robust\naccuracy", "scan's\nscore"),
    )
    return [
        Rows(title, head, rows),
        Sentence(
            "attack success is of triggers not fitted on, then of stronger versions of them; "
            f"the scan's score is {searched}, searched again; * is kept"
        ),
    ]


def _left(result: "RepairResult") -> list[Line]:
    """What each kind of trigger keeps, most successful label alone."""
    if not result.left:
        return []
    names = dict.fromkeys(row.triggers for row in result.left)
    worst = [
        max((row for row in result.left if row.triggers == name), key=lambda row: row.success_rate)
        for name in names
    ]
    rows = tuple(
        (
            row.triggers,
            "" if row.label is None else f"{row.label}",
            percent(row.success_rate),
            Bar(row.success_rate),
        )
        for row in worst
    )
    title = f"What is left, on {result.reported_on} other images"
    return [Rows(title, ("triggers", "target\nlabel", "attack\nsuccess", ""), rows)]


REPAIR = Command("repair", _repair)
