"""The schemas that lie in this folder, by the name of the command that writes the document."""

import json
from importlib.resources import files
from typing import Any

from hardener.errors import UsageError

ENDING = ".schema.json"


def schema_names() -> tuple[str, ...]:
    """Names that `schema` knows, in order: each the command whose document it describes."""
    here = (entry.name for entry in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(ENDING) for name in here if name.endswith(ENDING)))


def schema_text(name: str) -> str:
    """A document's JSON Schema (draft 2020-12), as its file holds it.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in schema_names():
        raise UsageError(f"no schema {name!r}: use one of {', '.join(schema_names())}")
    return files(__package__).joinpath(name + ENDING).read_text(encoding="utf-8")


def schema(name: str) -> dict[str, Any]:
    """A document's JSON Schema (draft 2020-12), for a validator.

    Args:
        name: of the command that writes it: bench, export, inspect, prune, repair, report or
            scan.

    Raises:
        UsageError: there is none of that name.
    """
    found: dict[str, Any] = json.loads(schema_text(name))
    return found
