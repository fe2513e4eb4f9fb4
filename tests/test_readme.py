"""The README agrees with the commands."""

import ast
import re
from pathlib import Path

import pytest

import hardener
from benchmarks.readme import filled
from hardener.cli import run

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
COMMANDS = (
    "export", "scan", "prune", "repair", "bench", "report", "inspect", "schema", "demo",
)  # fmt: skip


def _help(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert run([*command, "--help"]) == 0
    return capsys.readouterr().out


def test_every_command_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.findall(r"^  (\w+)  ", _help(capsys).partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
    for command in listed:
        assert f"| `harden {command}" in README


def test_every_option_it_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = set(re.findall(r"--[a-z-]+", "".join(_help(capsys, name) for name in COMMANDS)))
    named = set(re.findall(r"--[a-z][a-z-]+", README)) - {"--help"}
    assert named
    assert named <= known


def test_its_python_is_python_and_uses_real_names() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "hardener":
            assert node.attr in hardener.__all__


def test_its_tables_are_those_of_the_results() -> None:
    assert filled(README) == README
    assert filled(README.replace("<!-- /fuzz -->", "| more |\n<!-- /fuzz -->")) == README
