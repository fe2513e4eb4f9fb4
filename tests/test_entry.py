"""The first moments of the script."""

import os
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("module", ["hardener", "hardener.entry"])
def test_a_module_that_is_run_is_the_command(module: str) -> None:
    command = [sys.executable, "-m", module, "scan", "no such model.onnx", "-o", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("harden: ")


def test_onnxruntime_is_told_to_send_nothing(tmp_path: Path) -> None:
    program = "import hardener.model.runtime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    without = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**without, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
    assert not list(tmp_path.iterdir())
