"""What `harden report` writes."""

from hardener.documents.document import Document
from hardener.documents.identity import DataIdentity, ModelIdentity, PathText


class ReportResult(Document):
    """What `harden report` wrote."""

    model: ModelIdentity
    data: DataIdentity | None
    report: PathText
    """The page."""
    bytes: int
    """Its size."""
    missing: tuple[str, ...]
    """What the page would show besides if it had been given, as sentences."""
