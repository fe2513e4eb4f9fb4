"""Time and memory of a scan of a model with a thousand labels.

    python -m benchmarks.many_labels

Torchvision's ResNet-18 for 224x224 images, with random weights, on photograph-like JPEG files that
are written anew: `harden scan` in a process of its own. Such a network tells no classes apart, so
that the verdict is inconclusive; the work is the same. Linux alone tells the peak of memory.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.setting import commit, machine, write_results
from benchmarks.subjects import resnet18, write_labelled_photographs
from hardener.documents.scan import LabelEvidence, ScanResult
from hardener.scanning.saved import load_scan

IMAGES, CLASSES, SEED = 600, 1000, 0
MOST_SECONDS, MOST_GIBIBYTES = 1800, 4.0


def main() -> None:
    """Scans and writes `results/many_labels`."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = resnet18(work)
        data = write_labelled_photographs(work / "images", IMAGES, CLASSES, SEED)
        seconds, gibibytes, code = _run(work, model, data)
        scanned = load_scan(work / "scan")
        triggers = Counter(path.suffix for path in (work / "scan" / "triggers").iterdir())
    document = {
        "machine": machine(),
        "commit": commit(),
        "load_before": load,
        "images": IMAGES,
        "seconds": seconds,
        "peak_gibibytes": gibibytes,
        "exit_code": code,
        "verdict": scanned.verdict,
        "labels": len(scanned.labels),
        "searched": len(scanned.searched),
        "reference": sum(row.reference for row in scanned.searched),
        "trigger_files": triggers[".npz"],
    }
    write_results("many_labels", document, _table(document, scanned))


def _run(work: Path, model: Path, data: Path) -> tuple[float, float, int]:
    """Seconds, largest resident set in GiB and exit code of a scan that starts from nothing."""
    code = "from hardener.entry import main; main()"
    command = [sys.executable, "-c", code, "scan", str(model), "--data", str(data)]
    command += ["-o", str(work / "scan"), "--provider", "cpu"]
    began, peak = time.perf_counter(), 0
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env={**os.environ, "XDG_CACHE_HOME": str(work)}
    ) as process:
        while process.poll() is None:
            peak = max(peak, _high_water(process.pid))
            time.sleep(0.5)
    return time.perf_counter() - began, peak / 2**20, process.returncode


def _high_water(process: int) -> int:
    """The largest resident set so far in KiB; 0 where the process has ended."""
    # Not getrusage, whose peak a process inherits from the one that started it.
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(r.split()[1]) for r in status.splitlines() if r.startswith("VmHWM")), 0)


def _table(found: dict[str, Any], scanned: ScanResult) -> str:
    screened = sum(not isinstance(row, LabelEvidence) for row in scanned.labels)
    lines = [
        "# A thousand labels",
        "",
        f"`harden scan` of torchvision's ResNet-18 with random weights, {found['labels']} labels, "
        f"{found['images']} photograph-like images, 224×224, on {found['machine']['cores']} cores "
        f"(load before the start {found['load_before']:.1f}, {found['machine']['processor']}).",
        "",
        "| | found | allowed |",
        "| --- | --- | --- |",
        f"| seconds | {found['seconds']:.0f} | {MOST_SECONDS} |",
        f"| peak of memory, GiB | {found['peak_gibibytes']:.2f} | {MOST_GIBIBYTES:.0f} |",
        f"| labels screened only | {screened} | |",
        f"| labels searched in full | {found['searched']} | |",
        f"| of them drawn at random | {found['reference']} | |",
        f"| trigger files | {found['trigger_files']} | |",
        "",
        f"Verdict: {scanned.verdict}, exit code {found['exit_code']}. What the scan says:",
        "",
        *(f"- {reason}" for reason in scanned.reasons),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
