"""What the stages find: frozen documents, one kind a file, to JSON and checked on the way back.

>>> from hardener.documents import ScanResult
>>> found = ScanResult.read(Path("scan/scan.json"))
"""

from hardener.documents.bench import BenchResult
from hardener.documents.export import ExportResult
from hardener.documents.inspection import Inspection
from hardener.documents.page import ReportResult
from hardener.documents.prune import PruneResult
from hardener.documents.repair import RepairResult
from hardener.documents.scan import ScanResult

__all__ = [
    "BenchResult",
    "ExportResult",
    "Inspection",
    "PruneResult",
    "RepairResult",
    "ReportResult",
    "ScanResult",
]
