"""Which classifiers are understood, and the proof by numbers for each.

    python -m benchmarks.matrix [--only TEXT] [--without NAME,...] [--folder FOLDER] [--jobs N]

writes benchmarks/results/matrix.json and matrix.md, where rows of earlier runs stay that this one
does not repeat. `--folder` adds ONNX files from elsewhere
(those of `benchmarks.keras_models`, which needs an environment of its own); `pip install timm`
adds timm's.
"""

import argparse
import importlib.util
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.setting import RESULTS, commit, machine
from benchmarks.zoo import forms, numbers, timm_models, torchvision_models
from benchmarks.zoo.cases import Case
from benchmarks.zoo.proof import Proof, prove
from hardener.files import write_text

_CASES_PER_POOL = 20
_REWRITES = ("fold", "mask", "guard", "guard by channel", "clip", "slim")
_COLUMNS = (
    *("group", "models", "supported", *_REWRITES, "gradients", "refused", "not made"),
    "largest error",
)


@dataclass(frozen=True)
class Row:
    """One case's outcome: supported, refused as expected, refused, or wrong."""

    group: str
    name: str
    outcome: str
    proof: Proof
    seconds: float
    commit: str


def all_cases(folder: Path | None = None) -> list[Case]:
    """Every case that this environment can make."""
    cases = [*forms.cases(), *numbers.cases(), *torchvision_models.cases()]
    if importlib.util.find_spec("timm") is not None:
        cases += timm_models.cases()
    if folder is not None:
        cases += [
            Case("Keras by tf2onnx", path.stem, partial(_copy, source=path))
            for path in sorted(folder.glob("*.onnx"))
        ]
    return cases


def _copy(path: Path, *, source: Path) -> int | None:
    shutil.copyfile(source, path)
    return None


def tried(case: Case) -> Row:
    """Makes one model, proves what can be proved, and throws the file away."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        try:
            channels = case.write(path)
        except Exception as error:  # an exporter or quantiser that cannot make this model
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            proof = Proof(refusals={"export": reason})
            return Row(case.group, case.name, "not made", proof, time.monotonic() - start, commit())
        proof = prove(path, channels)
    seconds = time.monotonic() - start
    return Row(case.group, case.name, _outcome(case, proof), proof, seconds, commit())


def _outcome(case: Case, proof: Proof) -> str:
    refusal = (proof.refusals or {}).get("all")
    if case.refusal is not None:
        return "refused as expected" if case.refusal in (refusal or "") else "wrong"
    if refusal is not None:
        return "refused"
    return "wrong" if proof.failures else "supported"


def table(rows: Sequence[Row]) -> str:
    """The matrix as Markdown: one line a group, then every refusal and every failure."""
    lines = [
        "| " + " | ".join(_COLUMNS) + " |",
        "| --- " * len(_COLUMNS) + "|",
    ]
    for group in dict.fromkeys(row.group for row in rows):
        own = [row for row in rows if row.group == group]
        good = [row for row in own if row.outcome == "supported"]
        outcomes = Counter(row.outcome for row in own)
        written = Counter(name for row in good for name in row.proof.errors or {})
        scanned = sum("scan" not in (row.proof.refusals or {}) for row in good)
        worst = max((e for row in good for e in (row.proof.errors or {}).values()), default=0.0)
        cells = [group, len(own), len(good), *(written[name] for name in _REWRITES)]
        cells += [scanned, outcomes["refused"] + outcomes["refused as expected"]]
        cells += [outcomes["not made"], f"{worst:.1e}"]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    lines += ["", "What is not supported, and why:", ""]
    for row in rows:
        said = [f"{what}: {why}" for what, why in (row.proof.refusals or {}).items()]
        lines += [f"- {row.group}: {row.name}: {text}" for text in (*said, *row.proof.failures)]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Runs the matrix, writes its results; the exit code is 1 where one is refused or wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="cases whose title holds this text")
    parser.add_argument("--without", default="", help="names to leave out, commas between")
    parser.add_argument("--folder", type=Path, help="more ONNX files")
    parser.add_argument("--jobs", type=int, default=1, help="models at a time")
    asked = parser.parse_args(arguments)
    cases = [
        case
        for case in all_cases(asked.folder)
        if asked.only in case.title and case.name not in asked.without.split(",")
    ]
    rows = _known(asked.folder)
    failed = False
    for row in _all_tried(cases, asked.jobs):
        rows[f"{row.group}: {row.name}"] = row
        failed |= row.outcome in ("wrong", "refused")
        _write(rows)
        print(f"{row.outcome:20} {row.seconds:6.1f} s  {row.group}: {row.name}", flush=True)
        for failure in row.proof.failures:
            print(f"    {failure}", flush=True)
        for what, why in (row.proof.refusals or {}).items():
            print(f"    {what}: {why[:220]}", flush=True)
    return int(failed)


def _all_tried(cases: Sequence[Case], jobs: int) -> Iterator[Row]:
    """Rows in the order of the cases, by processes that live for some cases each."""
    for start in range(0, len(cases), _CASES_PER_POOL):
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            yield from pool.map(tried, cases[start : start + _CASES_PER_POOL])


def _known(folder: Path | None) -> dict[str, Row]:
    """Rows of earlier runs by title, in the order of the cases, less those of cases gone."""
    file = RESULTS / "matrix.json"
    if not file.is_file():
        return {}
    stored = [
        Row(**{**row, "proof": Proof(**row["proof"])})
        for row in json.loads(file.read_text())["rows"]
    ]
    by_title = {f"{row.group}: {row.name}": row for row in stored}
    kept = {
        case.title: by_title[case.title] for case in all_cases(folder) if case.title in by_title
    }
    foreign = {title: row for title, row in by_title.items() if row.group == "Keras by tf2onnx"}
    return kept | foreign


def _write(rows: Mapping[str, Row]) -> None:
    document = {"machine": machine(), "rows": [asdict(row) for row in rows.values()]}
    write_text(RESULTS / "matrix.json", json.dumps(document, indent=1) + "\n")
    write_text(RESULTS / "matrix.md", table(list(rows.values())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
