"""SARIF, for code scanning."""

from pathlib import Path
from typing import TYPE_CHECKING

from hardener.reporting.formats.format import Format

if TYPE_CHECKING:
    from hardener.documents.scan import ScanResult


def _text(result: "ScanResult") -> str:
    from hardener.reporting.sarif import sarif

    return sarif(result, Path.cwd())


SARIF = Format(
    "sarif",
    _text,
    commands=frozenset({"scan"}),
    help="sarif a SARIF 2.1.0 log for code scanning",
)
