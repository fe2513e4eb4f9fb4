"""The command line: parse, one library call, print, exit code.

Exit codes: 0 done; 1 done, and the answer is bad news; 2 could not do the job; 3 done, but
inconclusive.
"""

import io
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from hardener.errors import HardenError, InconclusiveError, UsageError
from hardener.exit_codes import DONE, FAILED, INCONCLUSIVE, OF_A_VERDICT, OF_AN_OUTCOME
from hardener.options import (
    DataOption,
    FormatOption,
    LayerOption,
    MeanOption,
    ModelArgument,
    OptionalDataOption,
    OutputFormat,
    PolicyOption,
    ProviderName,
    ProviderOption,
    QuietOption,
    ReportFormat,
    ReportFormatOption,
    ReportOption,
    ScanFormat,
    ScanFormatOption,
    SeedOption,
    SizeOption,
    StdOption,
    VerboseOption,
    image_shape,
    keyword_arguments,
    lines_of,
    numbers,
    options_given,
    preprocessing_overrides,
    whole_numbers,
)

if TYPE_CHECKING:
    from hardener.documents.document import Document, Run

_INTERRUPTED = 130
_TERMINATED = b"harden: terminated; files are as they were or whole\n"

app = typer.Typer(
    name="harden",
    help="Finds and removes backdoors in ONNX image classifiers before they ship.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Finds and removes backdoors in ONNX image classifiers before they ship."""
    if version:
        from importlib.metadata import version as installed

        print(f"hardener {installed('hardener')}")
    elif context.invoked_subcommand is None:
        raise UsageError("a command is missing; harden --help lists them")


@app.command()
def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A state dictionary: .safetensors or .pt.")
    ],
    arch: Annotated[
        str, typer.Option(help="MODULE:CLASS or FILE.py:CLASS; importing it runs its code.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="The ONNX file to write.")],
    input_size: Annotated[
        str | None,
        typer.Option(metavar="C,H,W", help="Shape of one image; by default the class's."),
    ] = None,
    opset: Annotated[
        int | None, typer.Option(help="ONNX opset; by default the exporter's.")
    ] = None,
    class_names: Annotated[
        Path | None, typer.Option(help="Text file with one class name a line, in label order.")
    ] = None,
    arch_arg: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Argument of the class, as JSON; repeatable."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Images to compare logits on; by default rendered traffic signs."),
    ] = None,
    mean: MeanOption = None,
    std: StdOption = None,
    output_format: FormatOption = OutputFormat.text,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Write a PyTorch checkpoint as ONNX, with logits equal to PyTorch's within 1e-4."""
    from hardener.model.exporting import export as run
    from hardener.next_commands import after_export

    del quiet, seed, verbose  # every command takes them; this one has no use for them
    result = run(
        checkpoint,
        arch,
        output,
        input_size=image_shape(input_size),
        opset=opset,
        class_names=None if class_names is None else lines_of(class_names),
        mean=numbers("--mean", mean),
        std=numbers("--std", std),
        data=data,
        arch_arguments=keyword_arguments(arch_arg or []),
    )
    _print(result, output_format, *after_export(output, data))
    return DONE


@app.command()
def scan(
    model: ModelArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for scan.json and the triggers.")
    ],
    data: OptionalDataOption = None,
    labels: Annotated[
        str | None,
        typer.Option(metavar="K[,K...]", help="Labels to look at; by default all of them."),
    ] = None,
    layer: LayerOption = None,
    known_trigger: Annotated[
        Path | None,
        typer.Option(help="The true trigger (.npz), for evaluation; no part of the verdict."),
    ] = None,
    report: ReportOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    size: SizeOption = None,
    policy: PolicyOption = None,
    provider: ProviderOption = ProviderName.auto,
    output_format: ScanFormatOption = ScanFormat.text,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Look for a backdoor. Exit code 0: none found, 1: found, 3: inconclusive.

    An interrupted scan goes on where it was when the same command runs again: what it had found is
    kept until then in $XDG_CACHE_HOME/hardener/scans, by default ~/.cache/hardener/scans.
    """
    from hardener.console import note, progress_bars
    from hardener.next_commands import after_scan
    from hardener.scanning.scan import scan as run

    del verbose
    preprocessing = preprocessing_overrides(policy, mean, std, size)
    _check_report(report, output, model, data, known_trigger, policy)
    with progress_bars(quiet=quiet) as progress:
        result = run(
            model,
            data,
            output,
            labels=whole_numbers("--labels", labels),
            layer=layer,
            known_trigger=known_trigger,
            preprocessing=preprocessing,
            provider=provider.value,
            seed=seed,
            progress=progress,
        )
    note(_how_it_ran(result), quiet=quiet)
    if result.data is not None:
        _note_unreadable(result.data.unreadable, quiet=quiet)
    given = options_given(policy=policy, mean=mean, std=std, size=size, provider=provider)
    _print(result, output_format, *after_scan(result, model, data, output, given))
    _write_page(
        report,
        output,
        quiet=quiet,
        model=None if data is None else model,
        data=data,
        known_trigger=known_trigger,
        preprocessing=preprocessing,
        provider=provider.value,
        seed=seed,
    )
    return OF_A_VERDICT[result.verdict]


@app.command()
def prune(
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
        str | None,
        typer.Option(metavar="C[,C...]", help="Channels to zero; needs no scan and no data."),
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
    mean: MeanOption = None,
    std: StdOption = None,
    size: SizeOption = None,
    policy: PolicyOption = None,
    provider: ProviderOption = ProviderName.auto,
    output_format: ReportFormatOption = ReportFormat.text,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Remove the channels that answer to the scan's triggers, or those that are named."""
    from hardener.console import note, progress_bars
    from hardener.next_commands import after_hardening

    del verbose
    if channels is not None:
        from hardener.pruning.named import prune_channels

        if any(value is not None for value in (scan, data, criterion, threshold)):
            raise UsageError("--channels goes without --scan, --data, --criterion and --threshold")
        if force or alarm or any(value is not None for value in (mean, std, size, policy, report)):
            raise UsageError(
                "--channels goes without --force, --mean, --std, --size, --policy, --alarm and "
                "--report"
            )
        result = prune_channels(
            model,
            whole_numbers("--channels", channels) or [],
            output,
            layer=layer,
            rewrite=rewrite,
            dry_run=dry_run,
            provider=provider.value,
            seed=seed,
        )
    else:
        from hardener.pruning.prune import prune as run

        if scan is None or data is None:
            raise UsageError("prune needs --scan DIR and --data CLEAN, or --channels")
        if dry_run and report is not None:
            raise UsageError("--dry-run writes nothing: leave out --report")
        preprocessing = preprocessing_overrides(policy, mean, std, size)
        _check_report(report, output, model, data, policy)
        with progress_bars(quiet=quiet) as progress:
            result = run(
                model,
                scan,
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
                preprocessing=preprocessing,
                provider=provider.value,
                seed=seed,
                progress=progress,
            )
        note(_how_it_ran(result), quiet=quiet)
        if result.data is not None:
            _note_unreadable(result.data.unreadable, quiet=quiet)
    given = options_given(policy=policy, mean=mean, std=std, size=size, provider=provider)
    _print(result, output_format, *after_hardening(result, model, scan, data, output, given))
    if scan is not None:
        _write_page(
            report,
            scan,
            quiet=quiet,
            model=model,
            data=data,
            hardened=result,
            preprocessing=preprocessing_overrides(policy, mean, std, size),
            provider=provider.value,
            seed=seed,
        )
    return OF_AN_OUTCOME[result.outcome]


@app.command()
def repair(
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
    mean: MeanOption = None,
    std: StdOption = None,
    size: SizeOption = None,
    policy: PolicyOption = None,
    provider: ProviderOption = ProviderName.auto,
    output_format: ReportFormatOption = ReportFormat.text,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Train the model, without labels, not to answer to the scan's triggers; the graph stays."""
    from hardener.console import note, progress_bars
    from hardener.next_commands import after_hardening
    from hardener.repairing.repair import repair as run

    del verbose
    preprocessing = preprocessing_overrides(policy, mean, std, size)
    _check_report(report, output, model, data, policy)
    with progress_bars(quiet=quiet) as progress:
        result = run(
            model,
            scan,
            data,
            output,
            max_accuracy_drop=max_accuracy_drop,
            max_attack_success=max_attack_success,
            rounds=rounds,
            force=force,
            preprocessing=preprocessing,
            provider=provider.value,
            seed=seed,
            progress=progress,
        )
    note(_how_it_ran(result), quiet=quiet)
    _note_unreadable(result.data.unreadable, quiet=quiet)
    given = options_given(policy=policy, mean=mean, std=std, size=size, provider=provider)
    _print(result, output_format, *after_hardening(result, model, scan, data, output, given))
    _write_page(
        report,
        scan,
        quiet=quiet,
        model=model,
        data=data,
        hardened=result,
        preprocessing=preprocessing,
        provider=provider.value,
        seed=seed,
    )
    return OF_AN_OUTCOME[result.outcome]


@app.command()
def bench(
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
    mean: MeanOption = None,
    std: StdOption = None,
    size: SizeOption = None,
    policy: PolicyOption = None,
    provider: ProviderOption = ProviderName.auto,
    output_format: ReportFormatOption = ReportFormat.text,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Measure accuracy, attack success rate, robust accuracy and latency side by side."""
    from hardener.benching.bench import bench as run
    from hardener.console import note, progress_bars
    from hardener.next_commands import after_bench
    from hardener.scanning.saved import load_scan

    del verbose
    preprocessing = preprocessing_overrides(policy, mean, std, size)
    if report is not None:
        _require_scan_of(models[0], scan)
    _check_report(report, output, *models, data, trigger, policy)
    with progress_bars(quiet=quiet) as progress:
        result = run(
            models,
            data,
            output,
            trigger=trigger,
            target=target,
            scan=scan,
            preprocessing=preprocessing,
            provider=provider.value,
            seed=seed,
            progress=progress,
        )
    note(_how_it_ran(result), quiet=quiet)
    if trigger is None and scan is None:
        note("no --trigger and no --scan: attack success is not measured", quiet=quiet)
    if scan is not None:
        others = [str(label) for label in load_scan(scan).targets if label != result.target]
        if others:
            note(
                f"target {result.target} alone is tried; the scan also names {', '.join(others)}: "
                "--target tries another one",
                quiet=quiet,
            )
    _note_unreadable(result.data.unreadable, quiet=quiet)
    _print(result, output_format, *after_bench(result, models, scan, output))
    if scan is not None:
        _write_page(
            report,
            scan,
            quiet=quiet,
            model=models[0],
            data=data,
            bench=result,
            beside=models[1] if len(models) > 1 else None,
            known_trigger=trigger,
            preprocessing=preprocessing,
            provider=provider.value,
            seed=seed,
        )
    return DONE


@app.command()
def report(
    scan: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a finished scan.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HTML file to write.")],
    hardened: Annotated[
        Path | None, typer.Option(help="JSON file that repair or prune wrote beside its model.")
    ] = None,
    bench: Annotated[Path | None, typer.Option(help="JSON file that bench wrote.")] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="The scanned model: also shows what it looks at; with --data."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Labelled images to run it on, best the scan's.")
    ] = None,
    known_trigger: Annotated[
        Path | None, typer.Option(help="The true trigger, where an evaluator has it.")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(help="A second model to show beside it; by default the hardened one."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="N[,N]", help="Which images to show, from 0; else typical ones."),
    ] = None,
    mean: MeanOption = None,
    std: StdOption = None,
    size: SizeOption = None,
    policy: PolicyOption = None,
    provider: ProviderOption = ProviderName.auto,
    output_format: FormatOption = OutputFormat.text,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Write one HTML page that shows a scan, what was done about it and what that changed."""
    from hardener.console import note, progress_bars
    from hardener.next_commands import after_report
    from hardener.reporting.page import report as run

    del verbose
    _check_report(output, scan, policy)
    with progress_bars(quiet=quiet) as progress:
        result = run(
            scan,
            output,
            hardened=hardened,
            bench=bench,
            model=model,
            data=data,
            known_trigger=known_trigger,
            beside=beside,
            images=whole_numbers("--images", images),
            preprocessing=preprocessing_overrides(policy, mean, std, size),
            provider=provider.value,
            seed=seed,
            progress=progress,
        )
    for sentence in result.missing:
        note(f"the page does not show {sentence}", quiet=quiet)
    run_on = None if model is None or data is None else (model, data)
    _print(result, output_format, *after_report(scan, hardened, bench, run_on))
    return DONE


@app.command()
def inspect(
    model: ModelArgument,
    output_format: FormatOption = OutputFormat.text,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Print what is understood of a model, and what cannot be done with it and why."""
    from hardener.model.inspecting import inspect as run
    from hardener.next_commands import after_inspect

    del seed, quiet, verbose
    result = run(model)
    _print(result, output_format, *after_inspect(result, model))
    return DONE


@app.command()
def schema(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Of the command that writes it.")
    ] = None,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Print the JSON Schema of the documents that a command writes; without NAME list them."""
    from hardener.console import note
    from hardener.documents.schemas.shipped import schema_names, schema_text

    del seed, verbose
    _print_whole(
        "".join(f"{one}\n" for one in schema_names()) if name is None else schema_text(name)
    )
    if name is None:
        # Not on standard output, where programs read the names.
        note("next: harden schema NAME prints one of them", quiet=quiet)
    return DONE


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to work in.")] = Path(
        "demo"
    ),
    provider: ProviderOption = ProviderName.auto,
    output_format: FormatOption = OutputFormat.text,
    seed: SeedOption = 0,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Harden a bundled backdoored model from end to end, on rendered traffic signs."""
    from hardener.console import Sentence, note, print_lines, progress_bars
    from hardener.demonstration import demo as run
    from hardener.next_commands import after_demo

    del verbose

    with progress_bars(quiet=quiet) as progress:

        def show(command: str, result: "Document") -> None:
            if output_format is OutputFormat.text:
                with progress.set_aside(), _readers_may_go():
                    print_lines(["", f"$ {command}"])
                    _print(result, output_format)

        result = run(output, provider=provider.value, seed=seed, progress=progress, show=show)
    note(_how_it_ran(result), quiet=quiet)
    if output_format is OutputFormat.json:
        _print(result, output_format)
    else:
        before, after = (model.attack_success_rate["clean+ori"].value for model in result.models)
        changed = (
            f"The true trigger's attack success went from {before:.1%} to {after:.1%}; accuracy "
            f"from {result.models[0].accuracy.value:.1%} to {result.models[1].accuracy.value:.1%}."
        )
        with _readers_may_go():
            print_lines(["", Sentence(changed), *after_demo(output)])
    return DONE


def main() -> None:
    """Entry point of the `harden` script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no ℓ
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; errors become one line on stderr."""
    verbose = "--verbose" in arguments
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, stream=sys.stderr)
    if not verbose:
        warnings.simplefilter("ignore")
    signal.signal(signal.SIGTERM, _leave_cleanly)
    try:
        code = app(args=list(arguments), standalone_mode=False)
        if code == _INTERRUPTED:  # typer's own answer to Ctrl-C
            _complain("interrupted; files are as they were or whole")
    except Exception as error:  # the last place where an error can become one line
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # it was what broke an import
            return 128 + signal.SIGTERM
        if verbose and not isinstance(error, HardenError | TyperException):
            traceback.print_exc()
        _complain(_explained(error))
        return INCONCLUSIVE if isinstance(error, InconclusiveError) else FAILED
    return code if isinstance(code, int) else DONE


def _explained(error: Exception) -> str:
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        command = "" if context is None or context.parent is None else f"{context.info_name} "
        return f"{error.format_message().rstrip('.')}; harden {command}--help tells more"
    if isinstance(error, HardenError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "out of memory: use fewer labels or smaller images"
    return (
        f"a bug in harden: {type(error).__name__}: {error}; please report it with the output "
        "of --verbose"
    )


def _complain(text: str) -> None:
    """Prints one line on standard error, where anybody still reads it."""
    line = " ".join(text.split())
    with suppress(OSError):
        print(f"harden: {''.join(filter(str.isprintable, line))}", file=sys.stderr, flush=True)


def _leave_cleanly(number: int, _frame: object) -> None:
    # A print may be under way and must not be entered again. SystemExit unwinds the stack, so
    # that temporary files are removed; a second signal does not disturb that.
    signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.write(2, _TERMINATED)
    sys.exit(128 + number)


def _print(result: "Document", output_format: StrEnum, *more: str) -> None:
    """Prints a result; `more` are lines for people, which only they get."""
    from hardener.console import print_lines
    from hardener.summaries import summary

    if output_format == OutputFormat.text:
        with _readers_may_go():
            print_lines([*summary(result), *more])
    else:
        _print_whole(_document(result, output_format))


def _document(result: "Document", output_format: StrEnum) -> str:
    """A result as one document for programs or pages, ending in a line feed."""
    from hardener.documents.scan import ScanResult

    if output_format == ScanFormat.sarif and isinstance(result, ScanResult):
        from hardener.reporting.sarif import sarif

        return sarif(result, Path.cwd())
    if output_format == ReportFormat.markdown:
        from hardener.reporting.markdown import markdown

        return markdown(result)
    return result.to_json()


def _print_whole(text: str) -> None:
    with _readers_may_go():
        print(text, end="")


@contextmanager
def _readers_may_go() -> Iterator[None]:
    """Flushes what was printed; the exit code still tells the result where nobody reads it."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # What is left in the buffer would fail once more when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"standard output cannot be written: {error.strerror}") from error


def _check_report(report: Path | None, output: Path, *inputs: Path | None) -> None:
    """Refuses, before long work, a page that cannot go by its name."""
    from hardener.files import check_output

    if report is None:
        return
    check_output(report, ".html", *inputs)
    page, written = report.resolve(), output.resolve()
    if page == written or page in written.parents:
        raise UsageError(f"{report} is where the result goes: give the page another name")


def _require_scan_of(model: Path, scan: Path | None) -> None:
    from hardener.model.quarantine import load_untrusted
    from hardener.scanning.saved import load_scan

    if scan is None:
        raise UsageError("--report shows a scan too: give --scan DIR")
    scanned = load_scan(scan)
    if scanned.model.sha256 != load_untrusted(model, scanned.preprocessing.size).sha256:
        raise UsageError(
            f"--report shows the scanned model beside others: name the model of {scan} first"
        )


def _write_page(
    page: Path | None,
    scan: Path,
    *,
    quiet: bool,
    **shown: Any,  # noqa: ANN401  passed on as they are
) -> None:
    """Writes the page that a command was asked for beside its result, and says so.

    The result is there by now and keeps its exit code where the page cannot be made.
    """
    if page is None:
        return
    from hardener.console import note, progress_bars
    from hardener.reporting.page import report as run

    try:
        with progress_bars(quiet=quiet) as progress:
            result = run(scan, page, progress=progress, **shown)
    except HardenError as error:
        _complain(f"{page} was not written, all else is as told: {error}")
        return
    note(f"wrote {result.report}: open it in any browser", quiet=quiet)
    for sentence in result.missing:
        note(f"the page does not show {sentence}", quiet=quiet)


def _how_it_ran(result: "Run") -> str:
    batches = "" if result.batch_size is None else f", batches of {result.batch_size} images"
    return f"provider: {result.provider}, {result.threads} threads{batches}"


def _note_unreadable(names: Sequence[str], *, quiet: bool) -> None:
    from hardener.console import note

    if names:
        note(f"{len(names)} unreadable pictures left out: {', '.join(names)}", quiet=quiet)
