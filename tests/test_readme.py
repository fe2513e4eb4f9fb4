"""The README and the pages under docs/ agree with the commands and the results."""

import ast
import re

import pytest

import hardener
from benchmarks.readme import PAGES, TABLES, filled
from benchmarks.setting import ROOT
from hardener.cli import run
from hardener.cli.table import COMMANDS

TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in PAGES}
COMMAND_PAGE = TEXTS["docs/reference/commands.md"]


def _help(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert run([*command, "--help"]) == 0
    return capsys.readouterr().out


def _on_harden(text: str) -> str:
    """A page without the commands of benchmarks and victims, which have options of their own."""
    return re.sub(r"python -m (benchmarks|models)\b[^`]*", "", text)


def test_every_command_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    listed = re.findall(r"^  (\w+)  ", _help(capsys).partition("Commands:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(COMMANDS)
    for command in listed:
        assert f"| `harden {command}" in COMMAND_PAGE


def test_every_option_it_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    helps = [_help(capsys), *(_help(capsys, name) for name in COMMANDS)]
    known = set(re.findall(r"--[a-z-]+", "".join(helps)))
    for page, text in TEXTS.items():
        named = set(re.findall(r"--[a-z][a-z-]+", _on_harden(text))) - {"--help"}
        assert named <= known, page
    assert re.search(r"--[a-z][a-z-]+", COMMAND_PAGE.partition("<!-- help -->")[0])


def test_its_python_is_python_and_uses_real_names() -> None:
    blocks = re.findall(r"```python\n(.*?)```", "\n".join(TEXTS.values()), re.DOTALL)
    assert blocks
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "hardener":
                assert node.attr in hardener.__all__


def test_its_tables_are_those_of_the_results() -> None:
    for page, text in TEXTS.items():
        assert filled(text) == text, page
    results = TEXTS["docs/results.md"]
    assert filled(results.replace("<!-- /fuzz -->", "| more |\n<!-- /fuzz -->")) == results


@pytest.mark.parametrize("table", TABLES)
def test_every_table_stands_on_one_page(table: str) -> None:
    marked = re.compile(rf"<!-- {table} -->\n.*?<!-- /{table} -->", re.DOTALL)
    assert sum(len(marked.findall(text)) for text in TEXTS.values()) == 1
