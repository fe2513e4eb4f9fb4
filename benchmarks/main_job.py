"""The main job from the shell, timed: export, scan, prune, bench on the GTSRB victims.

    HARDEN_GTSRB=FOLDER python -m benchmarks.main_job

Validation images are all that scan and prune see; the test images and the true trigger only
report.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.setting import ROOT, WEIGHTS, gtsrb, machine, write_results
from hardener.documents.bench import BenchResult, ModelBench
from hardener.documents.prune import PruneResult
from hardener.documents.scan import ScanResult

VICTIM, TWIN = "alexnet-gtsrb-badnets", "alexnet-gtsrb-vanilla"
PRUNINGS: tuple[tuple[str, ...], ...] = (
    ("--criterion", "linf-gap", "--rewrite", "fold"),
    ("--criterion", "linf-gap", "--rewrite", "mask"),
    ("--criterion", "linf", "--rewrite", "fold"),
    ("--criterion", "linf", "--rewrite", "guard"),
    ("--criterion", "linf-quantile", "--rewrite", "guard"),
    ("--criterion", "linf-ratio", "--rewrite", "clip"),
    ("--criterion", "l1", "--rewrite", "fold"),
    ("--criterion", "l2", "--rewrite", "fold"),
)


def main() -> None:
    """Runs the commands as a user would and keeps what they say."""
    clean, test = gtsrb() / "gtsrb32-valid.zip", gtsrb() / "gtsrb32-test.zip"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        scans: dict[str, Any] = {}
        for name in (VICTIM, TWIN):
            arch = f"{ROOT / 'models' / 'alexnet.py'}:AlexNet"
            checkpoint = WEIGHTS / f"{name}.safetensors"
            _harden("export", checkpoint, "--arch", arch, "-o", work / f"{name}.onnx")
            code, seconds = _harden(
                "scan", work / f"{name}.onnx", "--data", clean, "-o", work / name
            )
            result = ScanResult.read(work / name / "scan.json")
            smallest = sorted(result.searched, key=lambda row: row.mask_l1)[:3]
            scans[name] = {
                "seconds": round(seconds, 1),
                "exit_code": code,
                "verdict": result.verdict,
                "targets": result.targets,
                "score": result.score,
                "smallest": [row.model_dump(exclude={"trigger_sha256"}) for row in smallest],
            }
        prunings: dict[str, Any] = {}
        models = [work / f"{VICTIM}.onnx"]
        names = ["none"]
        for flags in PRUNINGS:
            title = f"{flags[1]} {flags[3]}"
            output = work / f"{title.replace(' ', '-')}.onnx"
            command: list[str | Path] = ["prune", models[0], "--scan", work / VICTIM]
            command += ["--data", clean, "-o", output, *flags, "--format", "json"]
            command += ["--max-attack-success", "1"]  # what is left is reported, however much
            code, seconds = _harden(*command)
            prunings[title] = {"seconds": round(seconds, 1), "exit_code": code}
            if output.is_file():
                pruned = PruneResult.read(output.with_suffix(".json"))
                prunings[title] |= pruned.model_dump(
                    include={"threshold", "accuracy_before", "accuracy_after", "outcome"}
                ) | {"channels": len(pruned.channels)}
                models.append(output)
                names.append(title)
        trigger = WEIGHTS / f"{VICTIM}.trigger.npz"
        command = ["bench", *models, "--data", test, "-o", work / "bench.json"]
        _, seconds = _harden(*command, "--trigger", trigger)
        benched = BenchResult.read(work / "bench.json")
    rows = {name: row.model_dump() for name, row in zip(names, benched.models, strict=True)}
    for row in rows.values():
        del row["path"]
    document = {
        "machine": machine(),
        "scans": scans,
        "prunings": prunings,
        "bench_seconds": round(seconds, 1),
        "test_images": benched.data.count,
        "bench": rows,
    }
    text = _markdown(scans, prunings, dict(zip(names, benched.models, strict=True)))
    write_results("main_job", document, text)


def _harden(*arguments: str | Path) -> tuple[int, float]:
    """Exit code and seconds of one command, start of Python included."""
    command = [sys.executable, "-c", "from hardener.cli import main; main()"]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, *map(str, arguments)], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode not in (0, 1, 3):
        sys.exit(f"harden {' '.join(map(str, arguments))} left with {done.returncode}")
    return done.returncode, time.perf_counter() - start


def _markdown(
    scans: dict[str, Any], prunings: dict[str, Any], models: dict[str, ModelBench]
) -> str:
    cores = machine()["cores"]
    lines = [
        "# The main job on GTSRB",
        "",
        f"Measured on {cores} cores ({machine()['processor']}), onnxruntime on the CPU with as",
        "many threads. Seconds are of the whole command. Masks: label, pixels, of the median.",
        "",
        *_header("model", "verdict", "target", "score", "smallest masks", "seconds"),
    ]
    for name, scan in scans.items():
        masks = ", ".join(
            f"{row['label']}: {row['mask_l1']:.1f}, {row['relative_size']:.2f}"
            for row in scan["smallest"]
        )
        targets = ", ".join(map(str, scan["targets"])) or "none"
        lines.append(
            f"| `{name}` | {scan['verdict']} | {targets} | {scan['score']:.2f} | {masks} | "
            f"{scan['seconds']} |"
        )
    lines += [
        "",
        "The 12,630 test images, true trigger; % with 95 % interval. Latency ratios are against",
        "the unpruned model, interleaved in one run.",
        "",
        *_header(
            *("pruning", "channels", "accuracy", "attack success", "robust accuracy"),
            *("latency ratio, batch 1", "batch 256", "seconds"),
        ),
    ]
    for name, model in models.items():
        rates = [
            model.accuracy,
            model.attack_success_rate["clean+ori"],
            model.robust_accuracy["clean+ori"],
        ]
        shown = " | ".join(
            f"{100 * r.value:.2f} ({100 * r.low:.2f} to {100 * r.high:.2f})" for r in rates
        )
        ratios = " | ".join(
            f"{row.ratio.value:.3f} ({row.ratio.low:.3f} to {row.ratio.high:.3f})"
            for row in model.latency
        )
        done = prunings.get(name, {"channels": 0, "seconds": ""})
        lines.append(f"| {name} | {done['channels']} | {shown} | {ratios} | {done['seconds']} |")
    for name, done in prunings.items():
        if name not in models:
            lines.append(f"| {name} | nothing written, exit code {done['exit_code']} | | | | | | |")
    return "\n".join(lines) + "\n"


def _header(*columns: str) -> list[str]:
    return ["| " + " | ".join(columns) + " |", "| " + " | ".join(["---"] * len(columns)) + " |"]


if __name__ == "__main__":
    main()
