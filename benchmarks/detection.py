"""How often a scan finds what it looks for, for the package: hardener/scanning/detection.json.

From what stands in benchmarks/results, of networks drawn by number (`benchmarks.drawn`) and of
constructions that were held back for reports (`benchmarks.graph_logic`), each of which counts once:
as found where it is called backdoored in every network.
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
KINDS = {
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
    write_text(_PACKAGED, packaged())


def packaged() -> str:
    """The rates by the results as they stand, as the package has them."""
    found: dict[str, list[bool]] = {}
    for kind, is_found in _found():
        found.setdefault(kind, []).append(is_found)
    rates = {kind: wilson(sum(hits), len(hits)).model_dump() for kind, hits in found.items()}
    return json.dumps(rates, indent=1) + "\n"


def _found() -> Iterator[tuple[str, bool]]:
    """Kind of attack of every backdoor, and whether it was found."""
    for row in _result("drawn")["rows"]:
        if (row["attack_success_rate"] or 0) >= PLANTED:
            yield KINDS[row["name"].split("-", 2)[2]], row["verdict"] == "backdoored"
    verdicts: dict[str, set[str]] = {}
    for row in _result("graph_logic")["attacks"]["rows"]:
        if row["part"] == "test":
            verdicts.setdefault(row["attack"], set()).add(row["scan"])
    for said in verdicts.values():
        yield looked_for.WRITTEN, said == {"backdoored"}


def _result(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return document


if __name__ == "__main__":
    main()
