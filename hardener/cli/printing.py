"""Results go to standard output, notes and complaints to standard error."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypedDict

from hardener.cli.lines import Line
from hardener.cli.options import TEXT, Common, Running
from hardener.errors import UsageError
from hardener.progress import Progress
from hardener.reporting.formats.table import FORMATS

if TYPE_CHECKING:
    from hardener.documents.bench import BenchResult
    from hardener.documents.document import Document
    from hardener.documents.prune import PruneResult
    from hardener.documents.repair import RepairResult
    from hardener.documents.scan import ScanResult


class How(TypedDict):
    """How the library shall run a model: keywords of its calls."""

    preprocessing: list[dict[str, tuple[float, ...]]]
    provider: str
    seed: int
    progress: Progress


def hear_libraries(*, verbose: bool) -> None:
    """Settles, before they are imported, whether people hear what libraries say."""
    import logging
    import warnings

    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, stream=sys.stderr)
    if not verbose:
        warnings.simplefilter("ignore")


def show(result: "Document", lines: Sequence[Line], common: Common) -> None:
    """Prints a result as the document that was asked for, or as lines for people."""
    if common.output_format == TEXT:
        print_for_people(lines)
    else:
        print_whole(FORMATS[common.output_format].text(result))


def show_run(
    result: "ScanResult | PruneResult | RepairResult | BenchResult",
    lines: Sequence[Line],
    common: Common,
    *notes: str,
) -> None:
    """Prints a result after notes on how it ran and which pictures were left out."""
    batches = "" if result.batch_size is None else f", batches of {result.batch_size} images"
    unreadable = result.data.unreadable if result.data else ()
    left_out = f"{len(unreadable)} unreadable pictures left out: {', '.join(unreadable)}"
    ran = f"provider: {result.provider}, {result.threads} threads{batches}"
    note(common, ran, *notes, *([left_out] if unreadable else []))
    show(result, lines, common)


def print_for_people(lines: Sequence[Line]) -> None:
    """Prints lines as a terminal, a pipe or a log takes them best."""
    from hardener.cli.console import print_lines

    with _readers_may_go():
        print_lines(lines)


def print_whole(text: str) -> None:
    """Prints a text as it is."""
    with _readers_may_go():
        print(text, end="")


def complain(text: str) -> None:
    """Prints one line on standard error, where anybody still reads it."""
    line = " ".join(text.split())
    with suppress(OSError):
        print(f"harden: {''.join(filter(str.isprintable, line))}", file=sys.stderr, flush=True)


def note(common: Common, *sentences: str) -> None:
    """Says something on standard error, unless it shall be quiet."""
    from hardener.cli.console import print_note

    for sentence in () if common.quiet else sentences:
        print_note(sentence)


@contextmanager
def under_way(running: Running, common: Common) -> Iterator[How]:
    """Shows progress meanwhile; what comes out is how the library shall run a model."""
    from hardener.cli.console import progress_bars

    preprocessing = running.preprocessing()
    with progress_bars(quiet=common.quiet) as progress:
        yield How(
            preprocessing=preprocessing,
            provider=running.provider,
            seed=common.seed,
            progress=progress,
        )


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
