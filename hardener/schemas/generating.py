"""Makes the schemas from the models of `hardener.results`, after those have changed.

    python -m hardener.schemas.generating

A schema says what this version writes: every field is there, and no other. Titles are the models'
names; descriptions come from their docstrings.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from hardener import results
from hardener.files import write_text
from hardener.results import (
    SCHEMA_VERSION,
    BenchResult,
    Document,
    ExportResult,
    Inspection,
    PruneResult,
    RepairResult,
    ReportResult,
    ScanResult,
)
from hardener.schemas.shipped import ENDING

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: dict[str, type[Document]] = {
    "bench": BenchResult,
    "export": ExportResult,
    "inspect": Inspection,
    "prune": PruneResult,
    "repair": RepairResult,
    "report": ReportResult,
    "scan": ScanResult,
}
_ATTRIBUTES = "\n\nAttributes:\n"
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


class _AsWritten(GenerateJsonSchema):
    """What is written has every field; a field's title would only repeat its name."""

    def field_is_required(self, field: object, total: bool) -> bool:
        """Always: defaults are written too."""
        del field, total
        return True

    def field_title_should_be_set(self, schema: object) -> bool:
        """Never."""
        del schema
        return False


def generated(name: str) -> str:
    """The text of a schema's file, as the models are now.

    Args:
        name: of the command that writes the document.
    """
    model = DOCUMENTS[name]
    made = model.model_json_schema(schema_generator=_AsWritten, mode="serialization")
    parts = made.pop("$defs", {})
    for part, described in parts.items():
        _describe(described, getattr(results, part))
    _describe(made, model)
    made["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    head = {"$schema": DIALECT, "$id": f"urn:hardener:schema:{name}:{SCHEMA_VERSION}"}
    whole = head | made | {"$defs": parts}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _describe(made: dict[str, Any], model: type[BaseModel]) -> None:
    """Puts a model's docstring into its schema: its words, and those on each field."""
    made["description"] = " ".join(_docstring(model).partition(_ATTRIBUTES)[0].split())
    # Those of the class itself win over what it inherits.
    for ancestor in reversed(model.__mro__):
        for field, words in _ATTRIBUTE.findall(_docstring(ancestor).partition(_ATTRIBUTES)[2]):
            if field in made["properties"]:
                made["properties"][field]["description"] = " ".join(words.split())


def _docstring(model: type) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def main() -> None:
    """Writes every schema into this folder."""
    for name in DOCUMENTS:
        write_text(Path(__file__).with_name(name + ENDING), generated(name))


if __name__ == "__main__":
    main()
