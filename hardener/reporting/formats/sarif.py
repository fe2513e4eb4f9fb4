"""SARIF, for code scanning."""

from pathlib import Path
from typing import Any

from hardener.reporting.formats.format import Format


def _text(result: Any) -> str:  # noqa: ANN401  what the command returned
    from hardener.reporting.sarif import sarif

    return sarif(result, Path.cwd())


SARIF = Format(
    "sarif",
    _text,
    commands=frozenset({"scan"}),
    help="sarif a SARIF 2.1.0 log for code scanning",
)
