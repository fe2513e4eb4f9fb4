"""JSON, as the document's file holds it."""

from typing import TYPE_CHECKING

from hardener.reporting.formats.format import Format

if TYPE_CHECKING:
    from hardener.documents.document import Document


def _text(result: "Document") -> str:
    return result.to_json()


JSON = Format("json", _text)
