"""Thousands of mutated files through the calls that the commands make: none may do harm.

    python -m benchmarks.fuzz [--models 10000] [--data 10000] [--seed 0]

Cases run in forked children with limits (30 s for each, 3 GiB over the empty process). What
`harden` does in a child process of its own - reading, checking and running a model for the first
time - is done there in the same process; where it crashes, hangs or starves, the case counts as
contained once the real command has been run on the file and left with exit code 2 and one line.

A case is *refused* (one of the tool's own errors), *passed* (and its result was checked: a pruned
model's outputs equal a mask put into the original by this script; images, triggers and weights
keep what their types promise), *contained*, or a *finding*: any other exception, a crash, a hang,
too much memory, a file left behind by a refusal, a wrong success.

    python -m benchmarks.fuzz --only models:1234 --keep FOLDER

repeats one case and leaves its files in FOLDER. Ctrl-C ends a run; what is done is written down.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import numpy as np

import hardener.model.gradients
import hardener.model.inspecting
import hardener.pruning.named
from benchmarks.fuzzing.data_cases import DataSeed, data_case, data_seeds, mutated_data
from benchmarks.fuzzing.model_cases import model_case, mutated_files
from benchmarks.fuzzing.model_seeds import MODEL, Files, model_seeds
from benchmarks.fuzzing.trials import MEMORY_BYTES, SECONDS, Outcome, Stage, confirmed, tried
from benchmarks.setting import machine, write_results

# Imported before the children are forked, so that none of them has to.
_HEAVY = (hardener.model.gradients, hardener.model.inspecting, hardener.pruning.named)
_CASES_A_CHILD = 20
_WAIT_SECONDS = 0.05
_EVERY = 500
_SHOWN_FINDINGS = 40


@dataclass(frozen=True)
class Case:
    """One mutated file.

    Attributes:
        start: the seed that was mutated.
        mutation: how.
        files: relative path to content.
        prepare: makes what to do with them from their folder.
        command: arguments of `harden` that read the model, to confirm what was contained.
    """

    start: str
    mutation: str
    files: dict[str, bytes]
    prepare: Callable[[Path], Callable[[Stage], None]]
    command: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """What came of the case `models:N` or `data:N`."""

    name: str
    start: str
    mutation: str
    outcome: Outcome


def main() -> None:
    """Runs the cases and writes benchmarks/results/fuzz.{json,md}; exit code 1 with findings."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--data", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", help="one case, models:N or data:N")
    parser.add_argument("--keep", type=Path, help="folder for the files of that case")
    asked = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        starts = _made_elsewhere(Path(folder))
    run = partial(_results, starts, data_seeds(), asked.seed, asked.keep)
    if asked.only:
        print(run([asked.only])[0].outcome)
        return
    names = [f"models:{number}" for number in range(asked.models)]
    names += [f"data:{number}" for number in range(asked.data)]
    np.random.default_rng(asked.seed).shuffle(names)  # what is done early stands for the whole
    results: list[Result] = []
    # Forked while there are no threads: each worker forks once more for the cases.
    forking = get_context("fork")
    queue = forking.SimpleQueue()
    shares = [names[job :: asked.jobs] for job in range(asked.jobs)]
    workers = [
        forking.Process(target=_work, args=(run, share, queue), daemon=True) for share in shares
    ]
    for worker in workers:
        worker.start()
    with suppress(KeyboardInterrupt):  # what is done by then is written down
        while len(results) < len(names):
            if queue.empty():
                if not any(worker.is_alive() for worker in workers) and queue.empty():
                    sys.exit(f"the workers left after {len(results)} of {len(names)} cases")
                time.sleep(_WAIT_SECONDS)
                continue
            for result in queue.get():
                results.append(result)
                if result.outcome.kind == "finding":
                    print(result, flush=True)
                if len(results) % _EVERY == 0:
                    print(f"{len(results)} cases, {time.monotonic() - started:.0f} s", flush=True)
    results.sort(key=lambda result: result.name)
    document = _document(results, asked, time.monotonic() - started)
    write_results("fuzz", document, _markdown(document))
    sys.exit(any(result.outcome.kind == "finding" for result in results))


def _work(
    run: Callable[[Sequence[str]], list[Result]],
    names: Sequence[str],
    queue: "SimpleQueue[list[Result]]",
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for start in range(0, len(names), _CASES_A_CHILD):
        queue.put(run(names[start : start + _CASES_A_CHILD]))


def _results(
    starts: dict[str, Files],
    seeds: dict[str, DataSeed],
    seed: int,
    keep: Path | None,
    names: Sequence[str],
) -> list[Result]:
    cases: list[Case] = []
    folder = keep or Path(tempfile.mkdtemp(prefix="fuzz."))
    for name in names:
        kind, _, number = name.partition(":")
        make = partial(_model_case, starts) if kind == "models" else partial(_data_case, seeds)
        cases.append(make(seed, int(number)))
        for file, content in cases[-1].files.items():
            (folder / name / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / name / file).write_bytes(content)
    ready = [case.prepare(folder / name) for case, name in zip(cases, names, strict=True)]
    found = [
        Result(name, case.start, case.mutation, _confirmed(case, folder / name, outcome))
        for name, case, outcome in zip(names, cases, tried(ready), strict=True)
    ]
    if keep is None:
        shutil.rmtree(folder)
    return found


def _made_elsewhere(folder: Path) -> dict[str, Files]:
    """The seeds, made by a child: a fork of a process that has run a model may hang."""
    child = os.fork()
    if child == 0:
        for name, files in model_seeds().items():
            (folder / name).mkdir()
            for file, content in files.items():
                (folder / name / file).write_bytes(content)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("the seeds could not be made")
    return {
        made.name: {file.name: file.read_bytes() for file in sorted(made.iterdir())}
        for made in sorted(folder.iterdir())
    }


def _model_case(starts: dict[str, Files], seed: int, index: int) -> Case:
    rng = np.random.default_rng([seed, 0, index])
    start = sorted(starts)[int(rng.integers(len(starts)))]
    mutation, files = mutated_files(rng, starts[start])
    chooser = rng.spawn(1)[0]
    return Case(
        start,
        mutation,
        files,
        lambda folder: model_case(chooser, folder)[1],
        ("inspect", MODEL),
    )


def _data_case(seeds: dict[str, DataSeed], seed: int, index: int) -> Case:
    rng = np.random.default_rng([seed, 1, index])
    start = sorted(seeds)[int(rng.integers(len(seeds)))]
    chosen = seeds[start]
    mutation, content = mutated_data(rng, chosen)
    files = chosen.files | {chosen.mutated: content}
    return Case(start, mutation, files, lambda folder: data_case(chosen, folder), ())


def _confirmed(case: Case, folder: Path, outcome: Outcome) -> Outcome:
    """Runs the real command where a case ended inside what the tool has a child for."""
    if outcome.kind != "contained":
        return outcome
    program = "from hardener.cli import main; main()"
    command = [sys.executable, "-c", program, *case.command]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return confirmed(outcome, done.returncode, len(done.stderr.splitlines()))


def _document(results: list[Result], asked: argparse.Namespace, seconds: float) -> dict[str, Any]:
    groups: dict[str, Any] = {}
    for group in ("models", "data"):
        chosen = [result for result in results if result.name.startswith(f"{group}:")]
        outcomes = [result.outcome for result in chosen]
        groups[group] = {
            "cases": len(chosen),
            "outcomes": dict(Counter(o.kind for o in outcomes).most_common()),
            "details": dict(Counter(f"{o.kind}: {o.detail}" for o in outcomes).most_common()),
            "by_mutation": _table((r.mutation, r.outcome.kind) for r in chosen),
            "by_start": _table((r.start, r.outcome.kind) for r in chosen),
            "slowest_s": round(max((o.seconds for o in outcomes), default=0), 2),
            "findings": [asdict(result) for result in chosen if result.outcome.kind == "finding"],
        }
    return {
        "machine": machine(),
        "seed": asked.seed,
        "limits": {"seconds": SECONDS, "memory_bytes": MEMORY_BYTES},
        "seconds": round(seconds),
        **groups,
    }


def _table(pairs: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for name, kind in pairs:
        counts.setdefault(name, Counter())[kind] += 1
    return {name: dict(counts[name]) for name in sorted(counts)}


def _markdown(document: dict[str, Any]) -> str:
    kinds = ("refused", "passed", "contained", "finding")
    lines = [
        "# Mutated files",
        "",
        f"`python -m benchmarks.fuzz --models {document['models']['cases']} --data "
        f"{document['data']['cases']} --seed {document['seed']}`, {document['seconds']} s on "
        f"{document['machine']['cores']} cores. Each case had {SECONDS} s and "
        f"{MEMORY_BYTES >> 30} GiB.",
        "",
        "*Refused*: one of the tool's own errors. *Passed*: and the result was checked, a pruned",
        "model against a mask put into the original independently. *Contained*: ended onnx or",
        "onnxruntime where the tool has a child process for it, and the real command then left",
        "with exit code 2 and one line; in this script the case's own process stands in for that",
        "child. *Finding*: another exception, a crash, a hang, too much memory, a file left",
        "behind, a wrong success.",
    ]
    for group in ("models", "data"):
        found = document[group]
        lines += ["", f"## {group.capitalize()}: {found['cases']} cases", ""]
        for title, table in (("mutation", "by_mutation"), ("file", "by_start")):
            lines.append(f"| {title} | " + " | ".join(kinds) + " |")
            lines.append("| --- " * (1 + len(kinds)) + "|")
            for name, counts in found[table].items():
                shown = " | ".join(str(counts.get(kind, 0)) for kind in kinds)
                lines.append(f"| {name} | {shown} |")
            total = " | ".join(str(found["outcomes"].get(kind, 0)) for kind in kinds)
            lines += [f"| **all** | {total} |", ""]
        lines.append(f"The slowest case took {found['slowest_s']} s.")
        for finding in found["findings"][:_SHOWN_FINDINGS]:
            what, message = finding["outcome"]["detail"], finding["outcome"]["message"][:200]
            where = f"{finding['name']} ({finding['start']}, {finding['mutation']})"
            lines.append(f"- {where}: {what}: {message}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
