"""Makes the schemas from the documents, after those have changed.

    python -m hardener.documents.schemas.generating

A schema says what this version writes: every field is there, and no other. Titles are the models'
names; descriptions come from the docstrings of classes and fields.
"""

import json
from pathlib import Path

from pydantic.json_schema import GenerateJsonSchema

from hardener.documents import (
    BenchResult,
    ExportResult,
    Inspection,
    PruneResult,
    RepairResult,
    ReportResult,
    ScanResult,
)
from hardener.documents.document import SCHEMA_VERSION, Document
from hardener.documents.schemas.shipped import ENDING
from hardener.files import write_text

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
    """The text of a schema's file, as the documents are now.

    Args:
        name: of the command that writes the document.
    """
    made = DOCUMENTS[name].model_json_schema(schema_generator=_AsWritten, mode="serialization")
    parts = made.pop("$defs", {})
    for described in (made, *parts.values()):
        for field in (described, *described.get("properties", {}).values()):
            if "description" in field:
                field["description"] = " ".join(field["description"].split())
    made["properties"]["schema_version"]["const"] = SCHEMA_VERSION
    head = {"$schema": DIALECT, "$id": f"urn:hardener:schema:{name}:{SCHEMA_VERSION}"}
    whole = head | made | {"$defs": parts}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes every schema into this folder."""
    for name in DOCUMENTS:
        write_text(Path(__file__).with_name(name + ENDING), generated(name))


if __name__ == "__main__":
    main()
