"""Untrusted text on one line, rates in words, commands that can be copied."""

import os
import shlex

_LONGEST_NAME = 24


def printable(text: str) -> str:
    """Spells out control characters, which could fake or hide lines on a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """The text with every run of white space as one space and control characters spelt out."""
    return printable(" ".join(text.split()))


def percent(rate: float | None) -> str:
    """A fraction as people read it; a question mark for one that was not measured."""
    return "?" if rate is None else f"{100 * rate:.2f} %"


def listed(values: tuple[int, ...], most: int) -> str:
    """Numbers with commas between, the first `most` of them."""
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def short_name(path: str) -> str:
    """A file's name on one line, of a long one the end."""
    name = one_line(path.replace("\\", "/").rsplit("/", 1)[-1])
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"


def path_argument(path: str | os.PathLike[str]) -> str:
    """A path as an argument: a name that begins like an option is told from here."""
    text = os.fspath(path)
    return f"./{text}" if text.startswith("-") else text


def command_line(*words: str | os.PathLike[str]) -> str:
    """A command as it can be typed: words that a shell would change are quoted."""
    typed = [os.fspath(word) for word in words]
    if os.name != "nt":
        return shlex.join(typed)
    import subprocess  # noqa: PLC0415  --help need not wait for it

    return subprocess.list2cmdline(typed)
