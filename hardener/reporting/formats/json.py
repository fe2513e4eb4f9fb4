"""JSON, as the document's file holds it."""

from hardener.reporting.formats.format import Format

JSON = Format("json", lambda result: result.to_json())
