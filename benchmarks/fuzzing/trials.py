"""Cases in a forked child with limits: what came of each."""

import faulthandler
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeAlias

from hardener.errors import HardenError

SECONDS = 30
MEMORY_BYTES = 3 << 30
_FILE_BYTES = 64 << 20
_EXAMINING, _EXAMINED = b"<", b">"


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Attributes:
        kind: "refused", "passed", "contained" (it ended inside what is a process of its own in
            the tool) or "finding".
        detail: the error's class, or what was found.
        message: the error's text or the traceback's end.
        seconds: that it took.
    """

    kind: str
    detail: str
    message: str
    seconds: float


Case: TypeAlias = Callable[["Stage"], None]


class WrongSuccessError(Exception):
    """A case passed although its result is wrong."""


def tried(cases: Sequence[Case]) -> list[Outcome]:
    """Runs cases in forked children of this process, which must have started no threads.

    A child takes the next case as long as it goes well; after a finding, a crash or a hang a new
    one takes what is left.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(cases):
        outcomes += _in_one_child(cases[len(outcomes) :])
    return outcomes


def _in_one_child(cases: Sequence[Case]) -> list[Outcome]:
    """Outcomes of the first cases, of one at least."""
    started = time.monotonic()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _run(cases, write)
    os.close(write)
    outcomes: list[Outcome] = []
    answer, hangs = b"", False
    while not hangs:
        left = max(0.0, SECONDS - (time.monotonic() - started))
        ready, _, _ = select.select([read], [], [], left)
        piece = os.read(read, 1 << 16) if ready else b""
        if ready and not piece:
            break
        *documents, answer = (answer + piece).split(b"\n")
        for document in documents:
            kind, detail, message = json.loads(document.lstrip(_EXAMINING + _EXAMINED))
            outcomes.append(Outcome(kind, detail, message, time.monotonic() - started))
            started = time.monotonic()
        hangs = time.monotonic() - started >= SECONDS
    if hangs:
        os.kill(child, signal.SIGKILL)
    os.close(read)
    _, status = os.waitpid(child, 0)
    if hangs or status != 0 or not outcomes:
        seconds = time.monotonic() - started
        name = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no answer"
        what = f"hang over {SECONDS} s" if hangs else f"crash ({name})"
        contained = answer.count(_EXAMINING) > answer.count(_EXAMINED)
        outcomes.append(Outcome("contained" if contained else "finding", what, "", seconds))
    return outcomes


class Stage:
    """Tells the parent when a case enters and leaves what the tool does in a child process."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def __enter__(self) -> None:
        os.write(self._pipe, _EXAMINING)

    def __exit__(self, *_: object) -> None:
        os.write(self._pipe, _EXAMINED)


def _run(cases: Sequence[Case], pipe: int) -> NoReturn:
    faulthandler.disable()
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for kind, limit in (
        (resource.RLIMIT_AS, space + MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, _FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    for case in cases:
        outcome = _outcome(case, pipe)
        os.write(pipe, json.dumps(outcome).encode() + b"\n")
        if outcome[0] == "finding":
            break
    os._exit(0)


def _outcome(case: Case, pipe: int) -> tuple[str, str, str]:
    try:
        case(Stage(pipe))
    except WrongSuccessError as error:
        return "finding", "wrong success", str(error)[:500]
    except HardenError as error:
        # Out of memory past the examination is a finding whatever it calls itself.
        starved = any(word in str(error) for word in ("bad_alloc", "allocate"))
        if starved and not getattr(error, "examining", False):
            return "finding", "out of memory", str(error)[:500]
        return "refused", type(error).__name__, str(error)[:200]
    except BaseException as error:  # whatever it is, it is what this script looks for
        frames = traceback.extract_tb(error.__traceback__)
        where = "; ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[-4:])
        kind = "out of memory" if isinstance(error, MemoryError) else type(error).__name__
        return "finding", kind, f"{error} [{where}]"[:500]
    return "passed", "passed", ""


def confirmed(outcome: Outcome, code: int, lines: int) -> Outcome:
    """What the real command made of a case that ended inside the examination."""
    if (code, lines) == (2, 1):
        return outcome
    message = f"harden left with {code} and {lines} lines on standard error"
    return Outcome("finding", outcome.detail, message, outcome.seconds)


def require(condition: bool, what: str) -> None:
    """Raises WrongSuccessError where something does not hold."""
    if not condition:
        raise WrongSuccessError(what)


if sys.platform == "win32":
    raise ImportError("fuzzing forks: it needs Linux")
