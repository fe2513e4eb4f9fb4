"""One command line from its words to its exit code; errors become one line on standard error."""

import io
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from typer.exceptions import TyperException

from hardener.cli.app import app_of
from hardener.cli.printing import complain
from hardener.cli.table import COMMANDS
from hardener.errors import HardenError, InconclusiveError
from hardener.exit_codes import DONE, FAILED, INCONCLUSIVE

_INTERRUPTED = 130
_TERMINATED = b"harden: terminated; files are as they were or whole\n"


def main() -> None:
    """Entry point of the `harden` script."""
    # Where a stream is closed nobody reads it; the exit code still tells the result.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no ℓ
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; errors become one line on stderr."""
    verbose = "--verbose" in arguments
    signal.signal(signal.SIGTERM, _leave_cleanly)
    try:
        code = app_of(COMMANDS.values())(args=list(arguments), standalone_mode=False)
        if code == _INTERRUPTED:  # typer's own answer to Ctrl-C
            complain("interrupted; files are as they were or whole")
    except Exception as error:  # the last place where an error can become one line
        if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:  # it was what broke an import
            return 128 + signal.SIGTERM
        if verbose and not isinstance(error, HardenError | TyperException):
            import traceback

            traceback.print_exc()
        complain(_explained(error))
        return INCONCLUSIVE if isinstance(error, InconclusiveError) else FAILED
    return code if isinstance(code, int) else DONE


def _explained(error: Exception) -> str:
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        command = "" if context is None or context.parent is None else f"{context.info_name} "
        return f"{error.format_message().rstrip('.')}; harden {command}--help tells more"
    if isinstance(error, HardenError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return "out of memory: use fewer labels or smaller images"
    return (
        f"a bug in harden: {type(error).__name__}: {error}; please report it with the output "
        "of --verbose"
    )


def _leave_cleanly(number: int, _frame: object) -> None:
    # A print may be under way and must not be entered again. SystemExit unwinds the stack, so
    # that temporary files are removed; a second signal does not disturb that.
    signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        os.write(2, _TERMINATED)
    sys.exit(128 + number)
