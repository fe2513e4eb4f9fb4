"""Puts the help text of every command into `docs/reference/commands.md`.

    python -m benchmarks.commands_page

They stand between two markers, as a terminal without colours shows them.
"""

import os
import re
import subprocess
import sys

from benchmarks.setting import ROOT
from hardener.files import write_text

PAGE = ROOT / "docs" / "reference" / "commands.md"

_RUN = (
    "import sys; sys.argv[0] = 'harden'; from hardener.cli import run; sys.exit(run(sys.argv[1:]))"
)


def filled(text: str) -> str:
    """The page with the commands' help texts as they are."""
    overview = _help()
    names = re.findall(r"^  (\w+)  ", overview.partition("Commands:")[2], re.MULTILINE)
    parts = [_block("harden", overview), *(_block(f"harden {name}", _help(name)) for name in names)]
    pattern = re.compile(r"(<!-- help -->\n).*?(<!-- /help -->)", re.DOTALL)
    return pattern.sub(lambda found: found[1] + "\n".join(parts) + found[2], text)


def _block(title: str, text: str) -> str:
    return f"### `{title}`\n\n```\n{text.strip()}\n```\n"


def _help(*command: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    plain = {"COLUMNS": "100", "TERM": "dumb", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *command, "--help"],
        cwd=ROOT,
        env={**kept, **plain},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def main() -> None:
    """Rewrites the page."""
    write_text(PAGE, filled(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
