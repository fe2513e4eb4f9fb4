"""`harden prune`: removes the channels that answer to a trigger."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import hardener
from hardener.cli.command import Command
from hardener.cli.hardening import after_hardening, costs, ending
from hardener.cli.lines import Bar, Line, Rows, apart, notes
from hardener.cli.next_commands import next_repair
from hardener.cli.options import Common, ModelArgument, ReportOption, Running
from hardener.cli.page import check_report, opened_for, write_page
from hardener.cli.parsers import whole_numbers
from hardener.cli.printing import show, show_run, under_way
from hardener.errors import UsageError
from hardener.exit_codes import OF_AN_OUTCOME
from hardener.reporting.plain_text import percent

if TYPE_CHECKING:
    from hardener.documents.prune import PruneResult
    from hardener.model.classifier import ModelGiven
    from hardener.scanning.saved import ScanGiven

_THRESHOLDS_SHOWN = 12
_REPAIR_INSTEAD = ("no-gain", "attack-left", "over-budget")
"""Endings that repair may do better than."""


def _prune(
    model: ModelArgument,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The hardened ONNX file; a .json goes beside it."),
    ],
    scan: Annotated[Path | None, typer.Option(help="Folder of a finished scan.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Clean labelled images, as for scan; needed with --scan.")
    ] = None,
    channels: Annotated[
        Sequence[int] | None,
        typer.Option(
            metavar="C[,C...]",
            parser=whole_numbers("--channels"),
            help="Channels to zero; needs no scan and no data.",
        ),
    ] = None,
    criterion: Annotated[
        str | None,
        typer.Option(
            help="Of the feature layer: linf, linf-gap, l1 or l2; by default linf-gap. Of "
            "convolutions: fine-pruning (least active on clean images), clp (channel "
            "Lipschitzness, by weights alone), anp or rnp (masks learnt on clean images). With "
            "--rewrite guard or clip what the threshold is: linf (a norm, of all channels alike; "
            "default of guard), linf-quantile (a quantile of each channel's clean norms) or "
            "linf-ratio (a multiple of each channel's clean maximum; default of clip)."
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Fixes the threshold instead of choosing one.")
    ] = None,
    max_accuracy_drop: Annotated[
        float, typer.Option(help="Accuracy that may be lost, as a fraction of all images.")
    ] = 0.02,
    max_attack_success: Annotated[
        float,
        typer.Option(help="Attack success rate of the synthetic trigger that may be left."),
    ] = 0.1,
    rewrite: Annotated[
        str | None,
        typer.Option(
            help="fold (into weights, no node added), mask (one node), slim (take the channels "
            "out: a smaller, faster model), guard (zero a channel only on images where it passes "
            "the threshold) or clip (lower activations to the threshold); by default fold, or "
            "mask where the graph cannot take a fold."
        ),
    ] = None,
    alarm: Annotated[
        bool,
        typer.Option(
            "--alarm",
            help="Give a guard a further output hardener_alarm (N,): how many channels it zeroed "
            "on each image.",
        ),
    ] = False,
    layer: Annotated[
        str | None,
        typer.Option(
            help="With --channels: tensor to use as feature layer instead of the graph's own. "
            "With --criterion fine-pruning, clp, anp or rnp: the one convolution to look at; by "
            "default fine-pruning looks at the last one, the others at all."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, write nothing.")] = (
        False
    ),
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Prune although the scan found nothing; write over budget, or with too much of "
            "the attack left. Where no threshold lowers the attack success rate there is still "
            "nothing to write.",
        ),
    ] = False,
    report: ReportOption = None,
    *,
    running: Running,
    common: Common,
) -> int:
    """Remove the channels that answer to the scan's triggers, or those that are named."""
    opened: ModelGiven = model
    saved: ScanGiven | None = None
    if channels is not None:
        if any(value is not None for value in (scan, data, criterion, threshold)):
            raise UsageError("--channels goes without --scan, --data, --criterion and --threshold")
        unused = (running.mean, running.std, running.size, running.policy, report)
        if force or alarm or any(value is not None for value in unused):
            raise UsageError(
                "--channels goes without --force, --mean, --std, --size, --policy, --alarm and "
                "--report"
            )
        result = hardener.prune_channels(
            model,
            channels,
            output,
            layer=layer,
            rewrite=rewrite,
            dry_run=dry_run,
            provider=running.provider,
            seed=common.seed,
        )
    else:
        if scan is None or data is None:
            raise UsageError("prune needs --scan DIR and --data CLEAN, or --channels")
        if dry_run and report is not None:
            raise UsageError("--dry-run writes nothing: leave out --report")
        check_report(report, output, model, data, running.policy)
        with under_way(running, common) as how:
            opened, saved = opened_for(report, model, scan, how["preprocessing"])
            result = hardener.prune(
                opened,
                saved,
                data,
                output,
                criterion=criterion,
                threshold=threshold,
                max_accuracy_drop=max_accuracy_drop,
                max_attack_success=max_attack_success,
                rewrite=rewrite,
                alarm=alarm,
                layer=layer,
                dry_run=dry_run,
                force=force,
                **how,
            )
    after = what_next(result, model, scan, data, output, running.given())
    # Named channels need no images: nothing is said of how the model ran.
    printed = show_run if channels is None else show
    printed(result, [*summary(result), *after], common)
    write_page(report, saved, running, common, model=opened, data=data, hardened=result)
    return OF_AN_OUTCOME[result.outcome]


def what_next(
    result: "PruneResult",
    model: Path,
    scan: Path | None,
    data: Path | None,
    output: Path,
    given: Sequence[str],
) -> list[str]:
    """A repair where that may do better, else what comes after every hardening."""
    if result.outcome == "planned":
        return ["next: the same command without --dry-run, which writes it"]
    if scan is not None and data is not None and result.outcome in _REPAIR_INSTEAD:
        return [next_repair(model, scan, data, given)]
    return after_hardening(result, model, scan, data, output, given)


def summary(result: "PruneResult") -> list[Line]:
    """The sweep, what was chosen, and what it costs."""
    from hardener.reporting.outcomes import prune_outcome

    measured = costs(result, "synthetic trigger's attack success")
    tables = _sweep(result) if result.sweep else []
    return apart(tables, [*measured, *notes(result.notes), ending(prune_outcome(result))])


def _sweep(result: "PruneResult") -> list[Line]:
    every = -(-len(result.sweep) // _THRESHOLDS_SHOWN)
    chosen = [row.threshold not in (None, result.threshold) for row in result.sweep]
    rows = tuple(
        (
            "none" if row.threshold is None else f"{'* ' * (not other)}{row.threshold:.3f}",
            str(row.channels_pruned),
            percent(row.accuracy),
            percent(row.attack_success_rate),
            Bar(row.attack_success_rate),
            percent(row.robust_accuracy),
            Bar(row.robust_accuracy),
        )
        for position, (row, other) in enumerate(zip(result.sweep, chosen, strict=True))
        if not (position % every and other)
    )
    title = f"Sweep by {result.criterion} ({result.chosen_on} images choose)"
    head = ("threshold", "channels", "accuracy", "attack\nsuccess", "", "robust\naccuracy", "")
    return [Rows(title, head, rows)]


PRUNE = Command("prune", _prune)
