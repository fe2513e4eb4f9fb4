"""How often a scan finds what it looks for, for the package: hardener/scanning/detection.json.

From what stands in benchmarks/results, on networks that nothing was set on (`benchmarks.drawn`) and
constructions that were held back for reports (`benchmarks.graph_logic`).
"""

import json
from collections.abc import Iterator
from typing import Any

from benchmarks.drawn import PLANTED
from benchmarks.setting import RESULTS, ROOT
from hardener.files import write_text
from hardener.measuring.intervals import wilson
from hardener.scanning import looked_for

_PACKAGED = ROOT / "hardener" / "scanning" / "detection.json"
_KINDS = {
    "badnets": looked_for.PATCHES,
    "two-targets": looked_for.PATCHES,
    "blended": looked_for.FAINT,
    "sig": looked_for.FAINT,
    "low-frequency": looked_for.FAINT,
    "ftrojan": looked_for.FAINT,
    "adap-blend": looked_for.FAINT,
    "wanet": looked_for.WARPS,
    "all-to-all": looked_for.EXCHANGES,
    "bpp": looked_for.COLOURS,
    "photo-filter": looked_for.COLOURS,
    "source-specific": looked_for.SOME_CLASSES,
}
"""Kind of attack by the attack's name in recipes."""


def main() -> None:
    """Writes the rates into the package."""
    verdicts: dict[str, list[bool]] = {}
    for kind, verdict in _verdicts():
        verdicts.setdefault(kind, []).append(verdict == "backdoored")
    rates = {kind: wilson(sum(hits), len(hits)).model_dump() for kind, hits in verdicts.items()}
    write_text(_PACKAGED, json.dumps(rates, indent=1) + "\n")


def _verdicts() -> Iterator[tuple[str, str]]:
    """Kind of attack and verdict of every backdoored network."""
    for row in _rows("drawn"):
        if (row["attack_success_rate"] or 0) >= PLANTED:
            yield _KINDS[row["name"].split("-", 2)[2]], row["verdict"]
    for row in _rows("graph_logic", "attacks"):
        if row["part"] == "test":
            yield looked_for.WRITTEN, row["scan"]


def _rows(name: str, *within: str) -> list[dict[str, Any]]:
    document = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    for key in within:
        document = document[key]
    rows: list[dict[str, Any]] = document["rows"]
    return rows


if __name__ == "__main__":
    main()
