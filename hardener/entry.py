"""Where the `harden` script begins: it answers to signals before anything is imported."""

import gc
import os
import signal
import sys


def main() -> None:
    """Runs `hardener.cli.main`, and leaves with one line where that is interrupted."""
    signal.signal(signal.SIGTERM, _leave)
    gc.disable()  # what imports make is no garbage; a command that runs turns it on again
    try:
        from hardener.cli import main as run  # noqa: PLC0415  only once signals are answered

        run()
    except KeyboardInterrupt:
        os.write(2, b"harden: interrupted; files are as they were or whole\n")
        sys.exit(130)


def _leave(number: int, _frame: object) -> None:
    os.write(2, b"harden: terminated; files are as they were or whole\n")
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
