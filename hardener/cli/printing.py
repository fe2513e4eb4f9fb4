"""Results go to standard output, notes and complaints to standard error."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from hardener.cli.lines import Line
from hardener.cli.options import TEXT, Common
from hardener.errors import UsageError
from hardener.reporting.formats.table import FORMATS

if TYPE_CHECKING:
    from hardener.documents.document import Document, Run


def show(result: "Document", lines: Sequence[Line], common: Common) -> None:
    """Prints a result as the document that was asked for, or as lines for people."""
    if common.output_format == TEXT:
        print_for_people(lines)
    else:
        print_whole(FORMATS[common.output_format].text(result))


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


def note_how_it_ran(result: "Run", unreadable: Sequence[str], common: Common) -> None:
    """Says what ran, and which pictures were left out."""
    from hardener.cli.console import note

    batches = "" if result.batch_size is None else f", batches of {result.batch_size} images"
    note(f"provider: {result.provider}, {result.threads} threads{batches}", quiet=common.quiet)
    if unreadable:
        left_out = f"{len(unreadable)} unreadable pictures left out: {', '.join(unreadable)}"
        note(left_out, quiet=common.quiet)


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
