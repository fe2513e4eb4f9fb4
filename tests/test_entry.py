"""The first moments of the script."""

import subprocess
import sys

import pytest

START = """
import os, signal, sys
class Disturbance:
    def find_spec(self, name, path, target=None):
        if name == "hardener.cli":
            DISTURB
sys.meta_path.insert(0, Disturbance())
from hardener.entry import main
main()
"""


@pytest.mark.parametrize(
    ("disturb", "code", "said"),
    [
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "terminated"),
    ],
)
def test_a_signal_while_modules_are_imported_is_one_line(
    disturb: str, code: int, said: str
) -> None:
    program = START.replace("DISTURB", disturb)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert done.stderr == f"harden: {said}; files are as they were or whole\n"
