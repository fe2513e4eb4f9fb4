"""How long a user waits: `harden --help`, and `harden prune` from a finished scan.

    HARDEN_GTSRB=FOLDER python -m benchmarks.waiting [MODEL.onnx SCAN]

Whole commands, the start of Python included. The scan of the GTSRB victim is made first (a
minute or more), unless the exported victim and the folder of its scan are given.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.interleaving import circumstances, interleaved, processor_seconds, shown
from benchmarks.setting import exported, gtsrb, machine, write_results

VICTIM = "alexnet-gtsrb-badnets"
HARDEN = [sys.executable, "-c", "from hardener.cli import main; main()"]
HELPS, PRUNINGS = 30, 5


def main() -> None:
    """Measures and writes `results/waiting`."""
    _run([*HARDEN, "--help"], 0)
    helps = interleaved(
        lambda _: _run([*HARDEN, "--help"], 0), lambda _: _run([sys.executable, "-c", "pass"], 0),
        HELPS,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        clean = str(gtsrb() / "gtsrb32-valid.zip")
        if len(sys.argv) > 2:
            model, scan = sys.argv[1:3]
        else:
            model, scan = str(exported(VICTIM, work)), str(work / "scan")
            _run([*HARDEN, "scan", model, "--data", clean, "-o", scan, "--quiet"], 1)
        command = ["prune", model, "--scan", scan, "--data", clean]
        command += ["-o", str(work / "hardened.onnx"), "--quiet"]
        before = processor_seconds()
        seconds: list[float] = []
        load = os.getloadavg()[0]
        for _ in range(PRUNINGS):
            start = time.perf_counter()
            _run([*HARDEN, *command], 0)
            seconds.append(time.perf_counter() - start)
        used = processor_seconds() - before
    help_s, python_s = (statistics.median(row) for row in helps.wall.tolist())
    document = {
        "machine": machine(),
        "help": helps.document(),
        "prune_seconds": seconds,
        "prune_processor_seconds": used / PRUNINGS,
        "prune_load": load,
    }
    lines = [
        "# How long a user waits",
        "",
        f"{machine()['cores']} cores ({machine()['processor']}). {circumstances(helps)}",
        "",
        "| command | seconds (median) | fastest |",
        "| --- | --- | --- |",
        f"| `python -c pass` | {python_s:.3f} | {helps.wall[1].min():.3f} |",
        f"| `harden --help` | {help_s:.3f} | {helps.wall[0].min():.3f} |",
        f"| `harden prune` on the GTSRB victim | {statistics.median(seconds):.1f} | "
        f"{min(seconds):.1f} |",
        "",
        f"`harden --help` takes {shown(helps.wall_ratio)} times as long as `python -c pass` "
        f"({HELPS} interleaved rounds, 95 % interval); the target is at most 0.3 s. `harden "
        f"prune` from a finished scan ran {PRUNINGS} times at a load average of {load:.1f} and "
        f"used {used / PRUNINGS:.1f} processor seconds each time; the target is at most 10 s.",
    ]
    write_results("waiting", document, "\n".join(lines) + "\n")


def _run(command: list[str], expected: int) -> None:
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    if done.returncode != expected:
        sys.exit(f"{' '.join(command)} left with {done.returncode}")


if __name__ == "__main__":
    main()
