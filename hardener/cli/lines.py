"""What is shown of a result, as plain values: what draws them is `console`."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias


class Sentence(NamedTuple):
    """Words of ours for people.

    Attributes:
        words: the sentence.
        lead: what stands in front; further lines begin behind it.
        style: of the first word, in rich's terms, where there is colour.
    """

    words: str
    lead: str = ""
    style: str = ""


class Fact(NamedTuple):
    """A name and what stands behind it, which is shown as it is."""

    name: str
    value: str


class Bar(NamedTuple):
    """A bar in a cell, for a fraction of its width."""

    fraction: float


Cell: TypeAlias = str | Bar


class Rows(NamedTuple):
    """A table under its title; where there is no room for one, a line a row.

    A row whose first cell has a star is bold too.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


Line: TypeAlias = str | Sentence | Fact | Rows
"""A string is never broken, so that it can be copied."""


def notes(said: Iterable[str]) -> list[Line]:
    """A document's notes."""
    return [Sentence(one, "note: ") for one in said]


def apart(*blocks: Sequence[Line]) -> list[Line]:
    """The blocks that hold something, with an empty line between."""
    lines: list[Line] = []
    for block in filter(None, blocks):
        lines += ["", *block] if lines else block
    return lines
