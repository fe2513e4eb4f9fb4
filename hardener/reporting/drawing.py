"""Figures as SVG that fits into a page: its ink follows light and dark, its text stays text."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from hardener.errors import UsageError
from hardener.files import FileName, write_bytes
from hardener.reporting.plain_text import one_line

INK, FAINT, PAPER = "#1a1b1e", "#8d8f94", "#fdfdfc"
"""Colours of text, of what stands back and of what lies behind; pages put their own in place."""

BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
"""Of data. Source: Okabe and Ito 2008 (Color Universal Design), told apart by colour-blind people;
each series also has a mark of its own."""

_VARIABLES = {
    INK: "var(--ink)",
    FAINT: "var(--faint)",
    PAPER: "var(--paper)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    PURPLE: "var(--purple)",
}
_POINTS_PER_INCH = 72
_DOTS_PER_INCH = 150
_FORMATS: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}
"""With what to leave out, so that the same figure gives the same bytes."""
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hardener",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure and what it shows, in words.

    Attributes:
        name: short, of letters and hyphens; tells the figure from others on a page.
        title: what stands above it.
        described: one or two sentences that say what the picture says, for those who do not see it.
        figure: the drawing.
        along: places on the first axes' x-axis that a page may point to, in data units.
    """

    name: str
    title: str
    described: str
    figure: Figure
    along: tuple[float, ...] = ()

    def svg(self) -> str:
        """The drawing as an `<svg>` element: same figure, same bytes.

        Colours are CSS variables (`--ink`, `--faint`, `--paper`, `--blue`, `--orange`, `--green`,
        `--purple`), and no identifier occurs in another figure's drawing. The attribute
        `data-points` has the places `along`, `data-span` the axes' upper and lower edge, in the
        drawing's own units.
        """
        stream = io.StringIO()
        with mpl.rc_context(_STYLE):
            self.figure.savefig(stream, format="svg", metadata=_FORMATS["svg"])
        text = stream.getvalue()
        text = text[text.index("<svg") :]
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        for colour, variable in _VARIABLES.items():
            text = text.replace(colour, variable)
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = re.sub(r"url\(#", f"url(#{self.name}-", text)
        text = re.sub(r'href="#', f'href="#{self.name}-', text)
        label = escape(one_line(f"{self.title}. {self.described}"), quote=True)
        text = re.sub(r'<svg\b([^>]*?) width="[^"]*"', r"<svg\1", text, count=1, flags=re.DOTALL)
        text = re.sub(r'<svg\b([^>]*?) height="[^"]*"', r"<svg\1", text, count=1, flags=re.DOTALL)
        attributes = f'role="img" aria-label="{label}"'
        if self.along:
            attributes += f' data-points="{self._points()}" data-span="{self._span()}"'
        return text.replace("<svg", f"<svg {attributes}", 1).strip()

    def save(self, path: FileName) -> None:
        """Writes the drawing, on white, as its file's ending says: svg, pdf or png.

        Raises:
            UsageError: another ending, or the file cannot be written.
        """
        target = Path(path)
        kind = target.suffix.lower().removeprefix(".")
        if kind not in _FORMATS:
            raise UsageError(f"{target}: a figure's name ends in .svg, .pdf or .png")
        stream = io.BytesIO()
        with mpl.rc_context(_STYLE):
            self.figure.savefig(
                stream, format=kind, facecolor="white", dpi=_DOTS_PER_INCH, metadata=_FORMATS[kind]
            )
        write_bytes(target, stream.getvalue())

    def _span(self) -> list[float]:
        """Upper and lower edge of the first axes, in points from the drawing's upper edge."""
        height = float(self.figure.get_figheight()) * _POINTS_PER_INCH
        box = self.figure.axes[0].get_position()
        return [round(height * (1 - float(edge)), 2) for edge in (box.y1, box.y0)]

    def _points(self) -> list[float]:
        """Where `along` lies, in points from the drawing's left edge."""
        axes = self.figure.axes[0]
        pixels = axes.transData.transform([(x, 0) for x in self.along])[:, 0]
        return [round(float(x) * _POINTS_PER_INCH / self.figure.dpi, 2) for x in pixels]


@contextmanager
def new_figure(width: float, height: float) -> Iterator[Figure]:
    """An empty figure of so many inches, in the house's style while it is drawn on."""
    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(width, height))
