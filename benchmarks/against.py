"""A rebuild changes no result: this checkout against an older one, on the same machine.

    git worktree add OLD b47d879
    python -m benchmarks.against OLD

Both run the demo, prunings of its model by every rewrite and kind of criterion, a scan without
images and `inspect`. Triggers, pictures and models must be equal byte for byte, documents but for
times and fields that are new. `harden --help` of both is timed in turns.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.interleaving import circumstances, interleaved, shown
from benchmarks.setting import ROOT, commit, machine, write_results

PRUNINGS = (
    ("fold", "linf-gap"),
    ("mask", "linf"),
    ("slim", "l1"),
    ("guard", "linf-quantile"),
    ("clip", "linf-ratio"),
    ("fold", "fine-pruning"),
    ("fold", "clp"),
    ("fold", "anp"),
    ("fold", "rnp"),
)
HELPS = 40
_OF_THE_RUN = frozenset({"created", "latency", "latency_ratio"})
_BYTES = frozenset({".npz", ".png", ".onnx"})


def main() -> None:
    """Compares and writes `results/against`."""
    old = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, "old"), Path(folder, "new")
        for tree, work in ((old, before), (ROOT, after)):
            _everything(tree, work)
        files = [path.relative_to(before) for path in sorted(before.rglob("*")) if path.is_file()]
        added: set[str] = set()
        differences: list[str] = []
        for name in files:
            differences += _differences(before / name, after / name, str(name), added)
        helps = interleaved(
            lambda _: _harden(ROOT, after, ["--help"]), lambda _: _harden(old, before, ["--help"]),
            HELPS,
        )  # fmt: skip
    commits = {name: commit(tree) for name, tree in (("old", old), ("new", ROOT))}
    document = {
        "machine": machine(),
        "commits": commits,
        "files": len(files),
        "differences": differences,
        "new_fields": sorted(added),
        "help": helps.document(),
    }
    lines = [
        "# This version against an older one",
        "",
        f"{commits['new']} against {commits['old']}, {machine()['cores']} cores "
        f"({machine()['processor']}): {len(files)} files of the demo, {len(PRUNINGS)} prunings, a "
        f"scan without images and `inspect`, {len(differences)} differences. New fields: "
        f"{', '.join(sorted(added)) or 'none'}.",
        "",
        *(f"- {one}" for one in differences),
        f"`harden --help` takes {shown(helps.processor_ratio)} times the processor time and "
        f"{shown(helps.wall_ratio)} times the time of the older version ({HELPS} interleaved "
        f"rounds, 95 % interval). {circumstances(helps)}",
    ]
    write_results("against", document, "\n".join(lines) + "\n")


def _everything(tree: Path, work: Path) -> None:
    """Runs what is compared; each command's document lies in `work` too."""
    work.mkdir()
    _harden(tree, work, ["demo", "-o", "demo", "--quiet"])
    read = ["--scan", "demo/scan", "--data", "demo/clean.npz", "--force", "--quiet"]
    for rewrite, criterion in PRUNINGS:
        name = f"{rewrite}-{criterion}"
        how = ["--rewrite", rewrite, "--criterion", criterion, "--format", "json"]
        said = _harden(tree, work, ["prune", "demo/model.onnx", *read, *how, "-o", f"{name}.onnx"])
        (work / f"{name}.said.json").write_text(said, encoding="utf-8")
    _harden(tree, work, ["scan", "demo/model.onnx", "-o", "without-images", "--quiet"])
    said = _harden(tree, work, ["inspect", "demo/model.onnx", "--format", "json"])
    (work / "inspect.json").write_text(said, encoding="utf-8")


def _harden(tree: Path, work: Path, words: Sequence[str]) -> str:
    environment = {**os.environ, "PYTHONPATH": str(tree), "XDG_CACHE_HOME": str(work / "cache")}
    done = subprocess.run(
        [sys.executable, "-m", "hardener", *words],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1, 3):
        sys.exit(f"{tree}: harden {' '.join(words)}: {done.stderr}")
    return done.stdout


def _differences(old: Path, new: Path, name: str, added: set[str]) -> Iterator[str]:
    if not new.is_file():
        yield f"{name} is missing"
    elif old.suffix == ".json":
        yield from _changed(json.loads(old.read_bytes()), json.loads(new.read_bytes()), name, added)
    elif old.suffix in _BYTES and old.read_bytes() != new.read_bytes():
        yield f"{name} has other bytes"


def _changed(old: Any, new: Any, where: str, added: set[str]) -> Iterator[str]:  # noqa: ANN401
    """Where two JSON values differ, but for what is of the run; new fields go to `added`."""
    if isinstance(old, dict) and isinstance(new, dict):
        added |= new.keys() - old.keys()
        for key in old.keys() - _OF_THE_RUN:
            if key in new:
                yield from _changed(old[key], new[key], f"{where}: {key}", added)
            else:
                yield f"{where}: {key} is lost"
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _changed(one, other, f"{where}[{place}]", added)
    elif old != new:
        yield f"{where} is {new!r} and was {old!r}"


if __name__ == "__main__":
    main()
