"""The formats, in the order in which help texts name them."""

from collections.abc import Mapping

from hardener.reporting.formats.format import Format
from hardener.reporting.formats.json import JSON
from hardener.reporting.formats.markdown import MARKDOWN
from hardener.reporting.formats.sarif import SARIF

FORMATS: Mapping[str, Format] = {one.name: one for one in (JSON, MARKDOWN, SARIF)}


def formats_of(command: str) -> list[Format]:
    """The formats that a command's document can be printed in."""
    return [one for one in FORMATS.values() if one.commands is None or command in one.commands]
