"""Tables and bars as rich draws them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from hardener.cli.lines import Bar, Cell, Rows
from hardener.reporting.plain_text import printable

_BAR_WIDTH = 10
_NARROWEST_TABLE = 60
"""A wider one is squeezed into so many columns before it is told in words."""
_TO_THE_LEFT = ("model", "setting", "trigger", "")


@dataclass(frozen=True)
class DrawnRows:
    """A table, or its rows in words where it is too wide."""

    rows: Rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(printable(self.rows.title), style="bold")
        table = self._table()
        roomy = options.update(max_width=_NARROWEST_TABLE)
        if options.max_width < Measurement.get(console, roomy, table).maximum:
            yield from map(self._in_words, self.rows.rows)
        else:
            yield table

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
        for name in self.rows.head:
            justify: JustifyMethod = "left" if name in _TO_THE_LEFT else "right"
            table.add_column(name, justify=justify, vertical="bottom", overflow="fold")
        for row in self.rows.rows:
            # A Text, because a file's name may hold what rich reads as markup.
            cells = [
                _DrawnBar(one) if isinstance(one, Bar) else Text(printable(one)) for one in row
            ]
            table.add_row(*cells, style="bold" if str(row[0]).startswith("*") else None)
        return table

    def _in_words(self, row: Sequence[Cell]) -> Text:
        named = zip(self.rows.head, row, strict=True)
        said = [f"{name} {cell}".replace("\n", " ") for name, cell in named if name]
        return Text(printable(f"- {', '.join(said)}"), overflow="fold")


@dataclass(frozen=True)
class _DrawnBar:
    """A bar. Rich's own draws what is missing as well, in another colour alone."""

    bar: Bar

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        full, half = divmod(round(2 * _BAR_WIDTH * min(1, self.bar.fraction)), 2)
        yield Text("-" * full if options.ascii_only else "━" * full + "╸" * half, style="cyan")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(_BAR_WIDTH, _BAR_WIDTH)
