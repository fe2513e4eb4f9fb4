"""How the texts of options are read, each with one line where it is something else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from hardener.errors import UsageError

_LARGEST_TEXT_BYTES = 64 << 20

_Number = TypeVar("_Number", int, float)


class Numbers(NamedTuple):
    """Numbers, and the text that they were given as."""

    values: tuple[float, ...]
    text: str

    def __str__(self) -> str:
        """The text."""
        return self.text


class ImageShape(NamedTuple):
    """The shape of one image."""

    channels: int
    height: int
    width: int


class KeywordArgument(NamedTuple):
    """A name and its value."""

    name: str
    value: object


def numbers(option: str) -> Callable[[str], Numbers]:
    """A reader of numbers with commas between, for an option."""
    return lambda text: Numbers(tuple(_parts(float, text, f"{option} takes numbers")), text)


def whole_numbers(option: str) -> Callable[[str], list[int]]:
    """A reader of whole numbers with commas between, for an option."""
    return lambda text: _parts(int, text, f"{option} takes whole numbers")


def _parts(kind: Callable[[str], _Number], text: str, rule: str) -> list[_Number]:
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise UsageError(f"{rule} with commas between, not {text!r}") from error


def image_shape(text: str) -> ImageShape:
    """Reads the shape of one image, C,H,W.

    Raises:
        UsageError: the text holds something else.
    """
    sizes = whole_numbers("--input-size")(text)
    if len(sizes) != 3 or min(sizes) < 1:
        raise UsageError(f"--input-size is C,H,W like 3,32,32, not {text!r}")
    return ImageShape(*sizes)


def lines_of(path: str | Path) -> list[str]:
    """Reads the lines of a text file.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        from hardener.files import read_regular

        return read_regular(Path(path), _LARGEST_TEXT_BYTES).decode("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--class-names {path} cannot be read: {error}") from error


def keyword_argument(pair: str) -> KeywordArgument:
    """Reads NAME=VALUE; a value that is no JSON is taken as text.

    Raises:
        UsageError: the pair has another form.
    """
    name, equals, text = pair.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"--arch-arg is NAME=VALUE, not {pair!r}")
    try:
        return KeywordArgument(name, json.loads(text))
    except (ValueError, RecursionError):
        return KeywordArgument(name, text)
