"""The clean twin of the main job's victim; a file of its own, because its scan takes as long."""

from dataclasses import replace
from pathlib import Path

from support.victims import exported

import hardener
from hardener.scanning.searches.table import SEARCHES


def test_the_vanilla_twin_is_not_called_backdoored(gtsrb: Path, tmp_path: Path) -> None:
    valid = gtsrb / "gtsrb32-valid.zip"
    vanilla = exported("alexnet-gtsrb-vanilla", "AlexNet", tmp_path, valid)
    # Half of the steps bring every search far enough to tell, in half of the time.
    budgets = {
        kind: replace(search.settings, steps=search.settings.steps // 2)
        for kind, search in SEARCHES.items()
    }
    result = hardener.scan(vanilla, valid, tmp_path / "scan", budgets=budgets)
    assert (result.verdict, result.targets) == ("clean", ())
