"""Puts tables of benchmarks/results into README.md and the pages under docs/.

    python -m benchmarks.readme

Each stands on one page, between two markers; what is between them is replaced.
"""

import json
import re
from statistics import median
from typing import Any

from benchmarks.setting import RESULTS, ROOT
from hardener.files import write_text

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TABLES = (
    *("support", "speed", "fuzz", "leaderboard", "few", "durability", "population", "table1"),
    *("third_party", "graph_logic"),
)


def filled(text: str) -> str:
    """A page with its tables as the results have them."""
    blocks = {
        "support": _support(),
        "speed": _speed(),
        "fuzz": _fuzz(),
        "leaderboard": _leaderboard(),
        "few": _few_images(),
        "durability": (RESULTS / "durability.md").read_text(encoding="utf-8"),
        "population": _population(),
        "table1": _table1(),
        "third_party": (RESULTS / "third_party.md").read_text(encoding="utf-8"),
        "graph_logic": _graph_logic(),
    }
    pattern = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)

    def replaced(found: re.Match[str]) -> str:
        block = blocks.get(found[2])
        return found[0] if block is None else found[1] + block + found[3]

    return pattern.sub(replaced, text)


def _support() -> str:
    """The matrix's table and what is not supported at all."""
    table = (RESULTS / "matrix.md").read_text(encoding="utf-8").partition("\n\n")[0]
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in _result("matrix")["rows"]:
        told = row["proof"]["refusals"] or {}
        reason = told.get("all") or told.get("export")
        if reason is not None:
            general = re.sub(r"'[^']*'", "…", reason)
            reasons.setdefault((row["group"], general), []).append(row["name"])
    lines = [
        f"- {group}: {', '.join(names)}: {reason}" for (group, reason), names in reasons.items()
    ]
    return "\n".join([table, "", "Not supported, or not made by the exporter:", "", *lines]) + "\n"


def _graph_logic() -> str:
    """All but the rows."""
    told = (RESULTS / "graph_logic.md").read_text(encoding="utf-8").split("\n\n")
    return "\n\n".join(one.strip() for one in told if not one.startswith("|")) + "\n"


def _population() -> str:
    return (RESULTS / "population.md").read_text(encoding="utf-8")


def _speed() -> str:
    profiling, sweeping = _result("profiling")["time"], _result("sweeping")["time"]
    feeding, memory, waiting = _result("feeding"), _result("memory"), _result("waiting")
    inversion, many = _result("inversion_speed"), _result("many_labels")
    scans = inversion["scan_seconds"].values()
    peaks = [f"{float(peak):.0f}" for peak in memory["peak_mebibytes"].values()]
    rows = [
        *(
            (f"three norms against plain inference, {name}", "≤ 1.05", _ratio(found["ratio"]))
            for name, found in profiling.items()
        ),
        *(
            (f"a sweep against full inference, {name}", "≥ 10", _ratio(found["ratio"]))
            for name, found in sweeping.items()
        ),
        ("streamed JPEG against images in memory, ResNet-18", "≥ 0.9", _ratio(feeding["ratio"])),
        ("peak MiB profiling 1,000, 10,000, 100,000 images", "flat", ", ".join(peaks)),
        ("`harden --help`, seconds", "≤ 0.3", f"{median(waiting['help']['seconds'][0]):.2f}"),
        (
            "`harden prune` from a scan of the GTSRB victim, seconds",
            "≤ 10",
            f"{median(waiting['prune_seconds']):.1f}",
        ),
        (
            "the plain search of Neural Cleanse against a whole scan of the GTSRB victim",
            "≥ 50",
            f"{inversion['ratio']:.0f}",
        ),
        (
            "that scan, seconds (before and after the plain search)",
            "≤ 45",
            ", ".join(f"{seconds:.0f}" for seconds in scans),
        ),
        (
            "ResNet-18 of random weights, 1,000 labels, 224×224, a whole scan, minutes",
            "≤ 30",
            f"{many['seconds'] / 60:.0f}",
        ),
        ("its peak of memory, GiB", "≤ 4", f"{many['peak_gibibytes']:.1f}"),
    ]
    lines = ["| what | target | measured |", "| --- | --- | --- |"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"


def _table1() -> str:
    """Table 1 without its heading."""
    return (RESULTS / "table1.md").read_text(encoding="utf-8").partition("\n\n")[2]


def _few_images() -> str:
    return (RESULTS / "few_images.md").read_text(encoding="utf-8").split("\n\n")[1]


def _leaderboard() -> str:
    """What each part came to, and the rows of the victims as they came and repaired."""
    text = (RESULTS / "leaderboard.md").read_text(encoding="utf-8")
    told = text.partition("\n\n")[2].partition("\n\n| victim and seed")[0]
    return "\n".join(line for line in told.splitlines() if "| prune" not in line) + "\n"


def _fuzz() -> str:
    found = _result("fuzz")
    lines = ["| mutated | cases | refused | passed | contained | findings |", "| --- " * 6 + "|"]
    for kind in ("models", "data"):
        outcomes = found[kind]["outcomes"]
        counts = [outcomes.get(name, 0) for name in ("refused", "passed", "contained", "finding")]
        cells = [kind, found[kind]["cases"], *counts]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def _ratio(ratio: dict[str, float]) -> str:
    return f"{ratio['value']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g})"


def _result(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def main() -> None:
    """Rewrites the pages whose tables are not those of the results."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if filled(text) != text:
            write_text(page, filled(text))


if __name__ == "__main__":
    main()
