"""What every benchmark stands on: the data, the victims as ONNX, the machine."""

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hardener
from hardener.cores import available_cores
from hardener.data.signs import CLASS_NAMES
from hardener.files import write_text

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
WEIGHTS = ROOT / "models" / "weights"


def gtsrb() -> Path:
    """Folder with the GTSRB zips; leaves with a word where HARDEN_GTSRB names none."""
    folder = Path(os.environ.get("HARDEN_GTSRB", ""))
    if not (folder / "gtsrb32-test.zip").is_file():
        sys.exit("set HARDEN_GTSRB to the folder with gtsrb32-valid.zip and gtsrb32-test.zip")
    return folder


def exported(name: str, work: Path) -> Path:
    """A committed GTSRB victim as ONNX in `work`."""
    model = work / f"{name}.onnx"
    hardener.export(
        WEIGHTS / f"{name}.safetensors",
        f"{ROOT / 'models' / 'alexnet.py'}:AlexNet",
        model,
        class_names=CLASS_NAMES,
        data=gtsrb() / "gtsrb32-valid.zip",
    )
    return model


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    packages = ("hardener", "torch", "onnx", "onnxruntime-gpu", "onnxruntime", "numpy")
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "threads": available_cores(),
        "python": platform.python_version(),
        "packages": {name: found for name in packages if (found := _version(name))},
    }


def commit(tree: Path = ROOT) -> str:
    """The code of a checkout, by default of this one, as far as git knows."""
    known = _git(tree, "describe", "--always")
    # Results that a benchmark has just written are not what it ran.
    others = ("--", ".", f":!{RESULTS.relative_to(ROOT)}")
    changed = _git(tree, "status", "--porcelain", "--untracked-files=no", *others)
    return f"{known}-dirty" if changed else known


def _git(tree: Path, *asked: str) -> str:
    called = ["git", "-C", str(tree), *asked]
    return subprocess.run(called, capture_output=True, text=True, check=False).stdout.strip()


def write_results(name: str, document: dict[str, Any], markdown: str) -> None:
    """Writes `name`.json and `name`.md into the results folder and prints the latter."""
    write_text(RESULTS / f"{name}.json", json.dumps(document, indent=1) + "\n")
    write_text(RESULTS / f"{name}.md", markdown)
    print(markdown)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ModuleNotFoundError:
        return None
