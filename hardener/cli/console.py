"""What people see: results on standard output, progress and notes on standard error.

On a terminal sentences are wrapped between words, below each other. Elsewhere each stays on one
line, which logs and grep read best, and tables are 80 columns wide unless COLUMNS says otherwise.
Colour, NO_COLOR, FORCE_COLOR, dumb terminals and frames in ASCII are left to rich.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)
from rich.table import Table
from rich.text import Text

from hardener.cli.lines import Fact, Line, Rows, Sentence
from hardener.cli.tables import DrawnRows
from hardener.progress import Progress, silent
from hardener.reporting.plain_text import printable

_SECONDS_BETWEEN_LINES = 30
_SECONDS_OF_SPEED = 600
"""Time left is told by the speed of so long: stages of one whole are not equally fast."""

_WIDTH_WITHOUT_A_TERMINAL = 80
_WIDEST_SENTENCE = 100
"""Longer lines are hard to read, however wide the terminal."""

_IN_ASCII = str.maketrans({"ℓ": "l", "∞": "inf", "→": "->", "×": "x"})


class _Console(Console):
    """A console that leaves it to the command what to do when nobody reads any more."""

    def on_broken_pipe(self) -> None:
        """Instead of leaving with exit code 1, which would mean bad news."""
        raise BrokenPipeError


def print_note(message: str) -> None:
    """Says something on standard error."""
    if sys.stderr.isatty():
        console = Console(stderr=True)
        console.print(printable(message), markup=False, highlight=False, emoji=False)
    else:
        print(printable(message), file=sys.stderr)


class Listener:
    """Is told how far a stage is, and shows it as a line or a bar."""

    def __init__(self, tell: Progress) -> None:
        self._tell = tell

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Shows that `done` of `total` steps of a stage are done."""
        self._tell(stage, done, total)

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Leaves the terminal to something else meanwhile."""
        yield


class _BarListener(Listener):
    """Draws bars, and takes them away where something else is printed: they would erase it."""

    def __init__(self, console: Console) -> None:
        super().__init__(self._draw)
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._bars = _bars(console)

    def _draw(self, stage: str, done: int, total: int) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done)

    def start(self) -> None:
        """Draws from now on."""
        # Bars that are started again would move up as far as they had reached before.
        self._bars, self._tasks = _bars(self._console), {}
        self._bars.start()

    def stop(self) -> None:
        """Removes the bars."""
        self._bars.stop()

    @contextmanager
    def set_aside(self) -> Iterator[None]:
        """Removes the bars; those of later stages come back."""
        self.stop()
        try:
            yield
        finally:
            self.start()


@contextmanager
def progress_bars(*, quiet: bool) -> Iterator[Listener]:
    """A listener that draws bars on standard error, or writes a line now and then into a log."""
    if quiet:
        yield Listener(silent)
        return
    console = Console(stderr=True)
    # FORCE_COLOR makes a terminal of everything, and a dumb one cannot redraw.
    if not sys.stderr.isatty() or console.is_dumb_terminal:
        yield Listener(_log_lines())
        return
    listener = _BarListener(console)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()


def _bars(console: Console) -> Bars:
    columns = (
        SpinnerColumn("line" if console.options.ascii_only else "dots"),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Bars(*columns, console=console, transient=True, speed_estimate_period=_SECONDS_OF_SPEED)


def _log_lines() -> Progress:
    """A listener that says every half minute how far a stage is, where no bar can be drawn."""
    said: dict[str, float] = {}

    def listen(stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage not in said:
            said[stage] = now
        elif now - said[stage] >= _SECONDS_BETWEEN_LINES:
            said[stage] = now
            print(printable(f"{stage}: {done / max(1, total):.0%}"), file=sys.stderr, flush=True)

    return listen


def print_lines(lines: Sequence[Line]) -> None:
    """Prints tables, sentences and lines to copy on standard output."""
    console = _Console(width=_width())
    for line in lines:
        match line:
            case str():
                console.print(Text(printable(line)), soft_wrap=True)
            case Sentence():
                _print_text(console, line.lead, _words(line, console.options.ascii_only))
            case Fact():
                _print_text(console, f"{line.name:<16}", Text(printable(line.value)))
            case Rows():
                console.print(DrawnRows(line))


def _width() -> int | None:
    """Of what is printed; None for the terminal's, or what COLUMNS says."""
    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return None if known else _WIDTH_WITHOUT_A_TERMINAL


def _words(sentence: Sentence, ascii_only: bool) -> Text:
    words = sentence.words.translate(_IN_ASCII) if ascii_only else sentence.words
    text = Text(printable(words))
    text.highlight_regex(r"^\w+", sentence.style)
    return text


def _print_text(console: Console, lead: str, text: Text) -> None:
    """Wraps text behind its lead on a terminal; prints both on one line elsewhere."""
    if not console.file.isatty():
        console.print(Text.assemble(lead, text), soft_wrap=True)
        return
    grid = Table.grid()
    if lead:
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(*filter(None, (Text(lead), text)))
    console.print(grid, width=min(console.width, _WIDEST_SENTENCE))
