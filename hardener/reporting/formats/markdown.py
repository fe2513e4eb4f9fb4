"""Markdown, for a pull request."""

from typing import TYPE_CHECKING

from hardener.reporting.formats.format import Format

if TYPE_CHECKING:
    from hardener.documents.document import Document


def _text(result: "Document") -> str:
    from hardener.reporting.markdown import markdown

    return markdown(result)


MARKDOWN = Format(
    "markdown",
    _text,
    commands=frozenset({"scan", "prune", "repair", "bench"}),
    help="markdown is a short summary for a pull request",
)
