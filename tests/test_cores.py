import os
import sys
from pathlib import Path

import pytest

from hardener.cores import available_cores, quotas


def test_affinity_limits_the_cores() -> None:
    if sys.platform != "linux":
        pytest.skip("affinity is read on Linux alone")
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert 1 <= available_cores() <= len(before)


def _written(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_the_quota_of_version_2_counts_and_so_do_the_groups_above(tmp_path: Path) -> None:
    _written(tmp_path / "a" / "b" / "cpu.max", "150000 100000\n")
    _written(tmp_path / "a" / "cpu.max", "400000 100000\n")
    _written(tmp_path / "cpu.max", "max 100000\n")
    assert list(quotas("0::/a/b\n", tmp_path)) == [2, 4]


def test_the_quota_of_version_1_counts(tmp_path: Path) -> None:
    for folder, quota in (("job", "50000"), (".", "-1")):
        _written(tmp_path / "cpu" / folder / "cpu.cfs_quota_us", f"{quota}\n")
        _written(tmp_path / "cpu" / folder / "cpu.cfs_period_us", "100000\n")
    memberships = "4:memory:/job\n2:cpu,cpuacct:/job\n1:cpuset:/other\n"
    assert list(quotas(memberships, tmp_path)) == [1]


def test_a_container_that_is_shown_only_its_own_group_is_limited_by_it(tmp_path: Path) -> None:
    _written(tmp_path / "cpu.max", "200000 100000\n")
    assert list(quotas("0::/docker/4f1c\n", tmp_path)) == [2]


def test_no_control_groups_are_no_limit(tmp_path: Path) -> None:
    assert list(quotas("0::/\n1:name=systemd:/\n", tmp_path)) == []
