"""Scans that are cut short and started again, as real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from support.graphs import classifier

from hardener.model.files import PREPROCESSING_KEY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

LABELS = 70
TEXT = f"""
classifier (float[N,3,8,8] x) => (float[N,{LABELS}] logits) {{
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  feature = Relu(c)
  d = Flatten(feature)
  logits = Gemm<transB=1>(d, w2, b2)
}}"""
SHAPES = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (LABELS, 384), "b2": (LABELS,)}
# A small budget, for time. A background job, in which the tests may run, ignores Ctrl-C and hands
# that on.
HARDEN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "import hardener.scanning.planning as p; p.BUDGET_VALUES = 5_000_000; "
    "from hardener.entry import main; main()"
)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model of seventy labels and images that it tells apart."""
    folder = tmp_path_factory.mktemp("many")
    model = classifier(TEXT, SHAPES)
    entry = model.metadata_props.add()
    entry.key, entry.value = (
        PREPROCESSING_KEY,
        json.dumps({"size": [8, 8], "mean": [0.0] * 3, "std": [1.0] * 3}),
    )
    onnx.save(model, folder / "m.onnx")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (140, 8, 8, 3)).astype(np.uint8)
    np.savez(folder / "d.npz", images=images, labels=np.arange(140) % LABELS)
    return folder / "m.onnx", folder / "d.npz"


def _command(case: tuple[Path, Path], output: Path) -> list[str]:
    model, data = case
    scan = ["scan", str(model), "--data", str(data), "-o", str(output), "--provider", "cpu"]
    return [sys.executable, "-c", HARDEN, *scan, "--quiet"]


def _document(output: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((output / "scan.json").read_text())
    del document["created"]
    return document


@pytest.fixture(scope="module")
def unbroken(case: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same scan, never interrupted, and the folder of the cache beside it."""
    folder = tmp_path_factory.mktemp("unbroken")
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    done = subprocess.run(_command(case, folder / "s"), env=environment, check=False)
    assert done.returncode == 3
    assert not list((folder / "cache" / "hardener" / "scans").iterdir())
    return folder / "s"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_scan_that_was_cut_short_goes_on(
    case: tuple[Path, Path], unbroken: Path, tmp_path: Path, number: signal.Signals
) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command, scans = _command(case, tmp_path / "s"), tmp_path / "cache" / "hardener" / "scans"
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        # Squares, two rounds, and at least one group of a search in full.
        while len(list(scans.glob("*/*.piece"))) < 4:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(number)
        process.wait(timeout=60)
    assert process.returncode in (-signal.SIGKILL, 130)
    assert not (tmp_path / "s").exists()
    pieces = sorted(scans.glob("*/*.piece"))
    before = {path.name: path.stat().st_mtime_ns for path in pieces}
    pieces[0].write_bytes(b"damaged")
    seen: dict[str, int] = {}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            for path in scans.glob("*/*.piece"):
                try:
                    seen[path.name] = path.stat().st_mtime_ns
                except FileNotFoundError:  # the scan has just ended
                    break
            time.sleep(0.02)
    assert process.returncode == 3
    assert all(seen[name] == then for name, then in list(before.items())[1:])
    assert len(seen) > len(before)
    assert _document(tmp_path / "s") == _document(unbroken)
    for path in (unbroken / "triggers").iterdir():
        assert (tmp_path / "s" / "triggers" / path.name).read_bytes() == path.read_bytes()
    assert not list(scans.iterdir())


def test_of_many_labels_only_those_searched_have_triggers(unbroken: Path) -> None:
    document = _document(unbroken)
    rows = document["labels"]
    assert [row["label"] for row in rows] == list(range(LABELS))
    searched = [row["label"] for row in rows if row["searched"]]
    assert len(searched) == 18
    assert sum(row.get("reference", False) for row in rows) == 8
    files = sorted(path.name for path in (unbroken / "triggers").glob("label-*.npz"))
    assert files == sorted(f"label-{label:02d}.npz" for label in searched)
    assert any("labels were screened" in reason for reason in document["reasons"])
    assert not any("not looked at" in reason for reason in document["reasons"])
