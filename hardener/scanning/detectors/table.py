"""The table of detectors: a new one is its file and one line here."""

from collections.abc import Mapping

from hardener.documents.scan import GRAPH_LOGIC
from hardener.scanning.detectors.all_to_all import ALL_TO_ALL
from hardener.scanning.detectors.detector import Detector
from hardener.scanning.detectors.graph_logic import LOGIC
from hardener.scanning.detectors.inversion import INVERSION
from hardener.scanning.detectors.last_layer import LAST_LAYER
from hardener.scanning.detectors.margins import MARGIN

DETECTORS: Mapping[str, Detector] = {
    GRAPH_LOGIC: LOGIC,
    "inversion": INVERSION,
    "all-to-all": ALL_TO_ALL,
    "margins": MARGIN,
    "last-layer": LAST_LAYER,
}
"""In the order in which they run and reasons name what they found.

Graph logic comes first: the others look at what it leaves.
"""
