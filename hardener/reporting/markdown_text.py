"""Untrusted text inside Markdown: shown as it is, never as markup, link, mention or HTML."""

import re
from collections.abc import Sequence

from hardener.reporting.plain_text import one_line

_NOTHING = "\u200b"
"""A space of no width. Mentions, issue numbers and addresses are found in what a page shows, where
a backslash is gone; this stays between their parts."""

_ESCAPED = {
    **{character: "\\" + character for character in "\\`*_[]|~$"},
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    '"': "&quot;",
    "@": "@" + _NOTHING,
    "#": "\\#" + _NOTHING,
}
_ADDRESS = re.compile(
    r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?<=mailto)(?=:)|(?<=xmpp)(?=:)|(?<=\bgh)(?=-\d)"
)
"""Where addresses and issue numbers come apart."""

_BLOCK = re.compile(r"[-+]|\d{1,9}(?=[.)](?:\s|$))")
"""What would begin a list or a line across the page."""

_DIGEST = re.compile(r"[0-9a-f]{0,64}")


def escaped(text: str, longest: int) -> str:
    """Text that may hold anything, on one line of at most `longest` characters of Markdown.

    Args:
        text: what a page shall show.
        longest: bounds what is written, not what is shown; what is left out shows as an ellipsis.
    """
    plain = _ADDRESS.sub(_NOTHING, one_line(text[: 2 * longest]))
    block = _BLOCK.match(plain)
    start = block[0] if block else ""
    pieces = ["\\" + start if start[:1] in ("-", "+") else start + _NOTHING] if start else []
    pieces += [_ESCAPED.get(one, one) for one in plain[len(start) :]]
    whole = "".join(pieces)
    if len(whole) <= longest and len(text) <= 2 * longest:
        return whole
    kept, length = [], 1
    for piece in pieces:
        length += len(piece)
        if length > longest:
            break
        kept.append(piece)
    return "".join(kept) + "…"


def digest(sha256: str) -> str:
    """A digest as code, which no page makes a link of."""
    return f"`{sha256}`" if _DIGEST.fullmatch(sha256) and sha256 else escaped(sha256, 64) or "none"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of a table whose cells are Markdown already; the first column is text, others numbers.

    Args:
        head: of each column.
        rows: of as many cells.
    """
    ruler = ("---", *("---:" for _ in head[1:]))
    return [f"| {' | '.join(cells)} |" for cells in (head, ruler, *rows)]
