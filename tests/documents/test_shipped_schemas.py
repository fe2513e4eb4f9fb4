"""How a schema is asked for."""

import json

import pytest

import hardener
from hardener.cli import run
from hardener.documents.schemas.shipped import schema_names


def test_the_command_lists_them_and_prints_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    assert capsys.readouterr().out.split() == list(schema_names())
    assert run(["schema", "bench"]) == 0
    assert json.loads(capsys.readouterr().out) == hardener.schema("bench")


def test_an_unknown_one_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema", "../results"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "use one of bench, export, inspect, prune, repair, report, scan" in shown.err
    assert shown.err.count("\n") == 1
