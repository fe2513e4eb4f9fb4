"""Markdown, for a pull request."""

from typing import Any

from hardener.reporting.formats.format import Format


def _text(result: Any) -> str:  # noqa: ANN401  what the command returned
    from hardener.reporting.markdown import markdown

    return markdown(result)


MARKDOWN = Format(
    "markdown",
    _text,
    commands=frozenset({"scan", "prune", "repair", "bench"}),
    help="markdown is a short summary for a pull request",
)
