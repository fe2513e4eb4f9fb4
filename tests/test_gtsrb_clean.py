"""The clean twin of the main job's victim; a file of its own, because its scan takes as long."""

from pathlib import Path

from support.victims import exported

import hardener


def test_the_vanilla_twin_is_not_called_backdoored(gtsrb: Path, tmp_path: Path) -> None:
    valid = gtsrb / "gtsrb32-valid.zip"
    vanilla = exported("alexnet-gtsrb-vanilla", "AlexNet", tmp_path, valid)
    result = hardener.scan(vanilla, valid, tmp_path / "scan")
    assert (result.verdict, result.targets) == ("clean", ())
