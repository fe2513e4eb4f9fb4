"""A family of triggers is its file, its search's file and a line in each of two tables.

A copy of the package gets a toy family so, and nothing else; then everything that knows families
runs on a model for real: scan, its files, what people see of it, its page, and a repair's rounds.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved

import hardener

TOYS = Path(__file__).parent / "support" / "toys"

USED = """
import sys
from dataclasses import replace
from pathlib import Path

import hardener
from hardener.cli.commands.scan import summary
from hardener.measuring.quality import Counts
from hardener.scanning.rescoring import suspicion_again
from hardener.scanning.saved import load_of_kind, open_scan
from hardener.scanning.searches.table import SEARCHES
from hardener.triggers.families import strengthened

budgets = {kind: replace(search.settings, steps=4) for kind, search in SEARCHES.items()}
hardener.scan("m.onnx", "d.npz", "s", budgets=budgets, provider="cpu")
scan = open_scan("s")
row = scan.result.searched[0]
trigger = load_of_kind(scan.folder, row, "brightness")
assert strengthened(trigger).size <= 2 * trigger.size + 1e-6
assert scan.result.medians["brightness"] > 0
assert any("brightness" in str(line) for line in summary(scan.result))
assert hardener.markdown(scan.result)
hardener.report(scan, "page.html")
worked = Counts(n=9, others=9, hits=9)
assert suspicion_again(scan.result, {trigger: worked}) == 0, "nothing is calibrated for it"
"""


def _with_line(path: Path, after: str, imported: str, name: str) -> None:
    """Imports a name into a table's file, and adds it behind the table's last entry."""
    text = path.read_text(encoding="utf-8")
    assert text.count(f"{after})") == 1
    text = text.replace(f"{after})", f"{after}, {name})")
    path.write_text(text.replace("\nfrom hardener", f"\n{imported}\nfrom hardener", 1))


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The package, with one family more."""
    package = Path(hardener.__file__).parent
    copy = tmp_path / "house" / "hardener"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TOYS / "brightness.py", copy / "triggers" / "brightness.py")
    searches = copy / "scanning" / "searches"
    shutil.copy(TOYS / "brightness_search.py", searches / "brightness.py")
    _with_line(
        copy / "triggers" / "families.py",
        "WARP",
        "from hardener.triggers.brightness import BRIGHTNESS",
        "BRIGHTNESS",
    )
    _with_line(
        searches / "table.py",
        "WARP_SEARCH",
        "from hardener.scanning.searches.brightness import BRIGHTNESS_SEARCH",
        "BRIGHTNESS_SEARCH",
    )
    return copy.parent


def test_a_family_is_two_files_and_two_lines(house: Path, tmp_path: Path) -> None:
    text = PLAIN.replace("float[N,5] logits", "float[N,9] logits")
    shapes = {**PLAIN_SHAPES, "w2": (9, *PLAIN_SHAPES["w2"][1:]), "b2": (9,)}
    saved(classifier(text, shapes), tmp_path / "m.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (180, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", images=pixels, labels=np.arange(180) % 9)
    environment = {**os.environ, "PYTHONPATH": str(house), "XDG_CACHE_HOME": str(tmp_path / "c")}
    done = subprocess.run(
        [sys.executable, "-c", USED],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "s" / "scan.json").read_text(encoding="utf-8"))
    assert 0 < found["labels"][0]["brightness"]["largest_shift"] <= 1
    assert (tmp_path / "s" / "triggers" / "brightness-00.npz").is_file()
    # Nobody has measured yet how small such a trigger is suspicious.
    assert found["verdict"] == "inconclusive"
    assert any("how small a brightness trigger is suspicious" in why for why in found["reasons"])
