"""What a format is."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Format(NamedTuple):
    """A form that documents are printed in.

    Attributes:
        name: as --format has it.
        text: makes a document's whole text, with a line feed at its end.
        commands: whose documents it takes; None for those of all.
        help: what it is, for the help text; nothing where the name says it.
    """

    name: str
    text: Callable[[Any], str]
    commands: frozenset[str] | None = None
    help: str = ""
