"""How many processor cores this process may keep busy."""

import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_MEMBERSHIPS = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Cores that affinity and the container's quota leave, at least one.

    A container that may use two cores of a large machine still sees all of them; as many
    threads would only wait for each other.
    """
    if sys.platform != "linux":
        return os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0))
    try:
        memberships = _MEMBERSHIPS.read_text()
    except OSError:  # no /proc
        return allowed
    return min([allowed, *quotas(memberships, _CGROUPS)])


def quotas(memberships: str, root: Path) -> Iterator[int]:
    """Cores that each control group with a quota grants, rounded up.

    Args:
        memberships: what `/proc/self/cgroup` says: lines `number:controllers:path`, with no
            controllers in version 2.
        root: where the control groups are mounted.

    Source: cgroups(7); the kernel's cgroup-v2 (`cpu.max`) and scheduler/sched-bwc
    (`cpu.cfs_quota_us`) documents.
    """
    for line in memberships.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounted = root / "cpu" if controllers else root
        group = PurePosixPath(path.lstrip("/"))
        for folder in (group, *group.parents):
            cores = _quota(mounted / folder)
            if cores is not None:
                yield max(1, math.ceil(cores))


def _quota(folder: Path) -> float | None:
    """Cores of one group; None where it has no limit or, as in a container, is not shown."""
    try:
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number: no limit
        return None
