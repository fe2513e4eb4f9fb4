"""A command is a file and a line; so is a format. A toy of each runs for real."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import pytest
import typer
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved

import hardener
from hardener.cli import run
from hardener.cli.command import Command
from hardener.cli.options import Common, ModelArgument, Running
from hardener.cli.parsers import whole_numbers
from hardener.cli.printing import show
from hardener.cli.table import COMMANDS
from hardener.reporting.formats.format import Format
from hardener.reporting.formats.table import FORMATS


def _toy(
    model: ModelArgument,
    picked: Annotated[
        Sequence[int] | None,
        typer.Option(metavar="K[,K]", parser=whole_numbers("--picked"), help="Which."),
    ] = None,
    *,
    running: Running,
    common: Common,
) -> int:
    """Say what a toy was told."""
    given = " ".join(running.given())
    show(hardener.inspect(model), [f"{picked} {given} {common.seed} {common.quiet}"], common)
    return 3


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """One command and two formats more."""
    monkeypatch.setitem(cast("dict[str, Command]", COMMANDS), "toy", Command("toy", _toy))
    formats = cast("dict[str, Format]", FORMATS)
    name = Format("name", lambda result: f"{result.model.path}\n", help="name a path")
    monkeypatch.setitem(formats, "name", name)
    other = name._replace(name="other", commands=frozenset({"bench"}))
    monkeypatch.setitem(formats, "other", other)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return str(saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx"))


def test_a_new_command_takes_the_shared_options(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["toy", model, "--picked", "1,2", "--mean=-.5,0", "--provider", "cpu", "--seed", "7"]
    assert run([*words, "--quiet"]) == 3
    assert capsys.readouterr().out == "[1, 2] --mean=-.5,0 --provider=cpu 7 True\n"


def test_a_new_command_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "  toy      Say what a toy was told.\n" in capsys.readouterr().out


def test_a_new_command_has_the_same_errors(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--picked", "x"], "--picked takes whole numbers with commas between, not 'x'"),
        (["--mean", "1,y"], "--mean takes numbers with commas between, not '1,y'"),
        (["--format", "other"], "'other' is not one of"),
    ):
        assert run(["toy", model, *words]) == 2
        error = capsys.readouterr().err
        assert error.startswith("harden: ")
        assert said in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("command", ["toy", "inspect"])
def test_a_new_format_is_known_to_commands_old_and_new(
    command: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([command, model, "--format", "name"]) == (3 if command == "toy" else 0)
    assert capsys.readouterr().out == f"{model}\n"


def test_a_new_format_is_in_the_help_of_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for command, choices in (
        ("inspect", "<text|json|name>"),
        ("scan", "<text|json|markdown|sarif|name>"),
        ("bench", "<text|json|markdown|name|other>"),
    ):
        assert run([command, "--help"]) == 0
        shown = "".join(capsys.readouterr().out.split())
        assert choices in shown
        assert "nameapath" in shown


def test_a_command_without_a_document_has_no_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "--format", "json"]) == 2
    assert "No such option: --format" in capsys.readouterr().err
