"""The Python calls: what they share with the commands, and how files are named to them."""

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

import hardener
from hardener import cli
from hardener.cli.table import COMMANDS
from hardener.model.exporting import export
from hardener.pruning.prune import prune

MISSING = "no such file"


@pytest.mark.parametrize("name", ["export", "scan", "prune", "repair", "bench", "demo"])
def test_a_command_and_its_call_have_the_same_defaults(name: str) -> None:
    command = inspect.signature(COMMANDS[name].callback()).parameters
    call = inspect.signature(getattr(hardener, name)).parameters
    shared = [n for n in command if n in call and command[n].default is not inspect.Parameter.empty]
    assert shared
    for parameter in shared:
        if call[parameter].default is not inspect.Parameter.empty:
            assert command[parameter].default == call[parameter].default, parameter


def test_no_module_takes_the_place_of_a_call() -> None:
    calls = [name for name in hardener.__all__ if callable(getattr(hardener, name))]
    assert "demo" in calls
    assert not [name for name in calls if importlib.util.find_spec(f"hardener.{name}")]


@pytest.mark.parametrize(
    "call",
    [
        lambda: export(MISSING, "models/alexnet.py:AlexNetSmall", "out.onnx"),
        lambda: hardener.scan(MISSING, MISSING, "scan"),
        lambda: prune(MISSING, MISSING, MISSING, "out.onnx"),
        lambda: hardener.prune_channels(MISSING, [1], "out.onnx"),
        lambda: hardener.repair(MISSING, MISSING, MISSING, "out.onnx"),
        lambda: hardener.bench([MISSING], MISSING, "bench.json", trigger=MISSING, scan=MISSING),
        lambda: hardener.inspect(MISSING),
        lambda: hardener.load_scan(MISSING),
        lambda: hardener.load_trigger(MISSING),
    ],
)
def test_files_may_be_named_by_text(call: Callable[[], object]) -> None:
    with pytest.raises(hardener.HardenError, match=MISSING):
        call()


def test_one_model_alone_is_still_a_list(signs_victim: Path, tmp_path: Path) -> None:
    with pytest.raises(hardener.UsageError, match=r"a list of files: \['m.onnx'\]"):
        hardener.bench("m.onnx", signs_victim, tmp_path / "bench.json")


def test_a_target_that_is_not_the_triggers_is_refused(
    signs_victim: Path, signs: Path, signs_trigger: Path, tmp_path: Path
) -> None:
    with pytest.raises(hardener.UsageError, match=r"--target 3 contradicts --trigger.* label 8"):
        hardener.bench([signs_victim], signs, tmp_path / "b.json", trigger=signs_trigger, target=3)


def test_usage_errors_point_to_the_commands_own_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["scan"]) == 2
    assert "harden scan --help tells more" in capsys.readouterr().err
    assert cli.run(["scann"]) == 2
    assert "harden --help tells more" in capsys.readouterr().err


def test_a_document_of_another_version_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "scan.json"
    path.write_text('{"schema_version": 2, "a_new_field": 1}')
    with pytest.raises(hardener.DataError, match=r"has schema version 2, .* reads 1"):
        hardener.load_scan(tmp_path)


def test_a_trigger_is_saved_and_read_by_text(tmp_path: Path, signs_trigger: Path) -> None:
    trigger = hardener.load_trigger(str(signs_trigger))
    hardener.save_trigger(trigger, str(tmp_path / "trigger.npz"))
    assert hardener.load_trigger(tmp_path / "trigger.npz").label == trigger.label
