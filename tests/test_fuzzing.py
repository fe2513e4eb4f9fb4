"""The fuzzing script can find what it looks for."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved

import hardener
from hardener.errors import DataError
from hardener.model import quarantine

if sys.platform == "win32":
    pytest.skip("fuzzing forks", allow_module_level=True)

from benchmarks.fuzzing import model_cases, trials
from benchmarks.fuzzing.byte_mutations import BYTE_MUTATIONS, mutate_bytes
from benchmarks.fuzzing.data_cases import data_seeds, mutated_data
from benchmarks.fuzzing.model_mutations import MODEL_MUTATIONS, mutate_model
from benchmarks.fuzzing.trials import Stage, WrongSuccessError, tried


def _kinds(case: Any) -> tuple[str, str]:  # noqa: ANN401
    (outcome,) = tried([case])
    return outcome.kind, outcome.detail


def test_outcomes_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(_stage: Stage) -> None:
        raise DataError("no")

    def failing(_stage: Stage) -> None:
        raise ZeroDivisionError

    def crashing(_stage: Stage) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)

    def crashing_inside(stage: Stage) -> None:
        with stage:
            os.kill(os.getpid(), signal.SIGSEGV)

    def wrong(_stage: Stage) -> None:
        trials.require(False, "2 and 2")

    def hanging(_stage: Stage) -> None:
        time.sleep(60)

    def starving(_stage: Stage) -> None:
        bytearray(4 << 30)

    assert _kinds(lambda _stage: None) == ("passed", "passed")
    assert _kinds(refusing) == ("refused", "DataError")
    assert _kinds(failing) == ("finding", "ZeroDivisionError")
    assert _kinds(crashing) == ("finding", "crash (SIGSEGV)")
    assert _kinds(crashing_inside) == ("contained", "crash (SIGSEGV)")
    assert _kinds(wrong) == ("finding", "wrong success")
    assert _kinds(starving) == ("finding", "out of memory")
    monkeypatch.setattr(trials, "SECONDS", 1)
    assert _kinds(hanging) == ("finding", "hang over 1 s")
    (outcome,) = tried([crashing_inside])
    assert trials.confirmed(outcome, 2, 1) == outcome
    several = [refusing, failing, crashing, lambda _stage: None, refusing, hanging, refusing]
    kinds = [outcome.kind for outcome in tried(several)]
    assert kinds == ["refused", "finding", "finding", "passed", "refused", "finding", "refused"]
    assert trials.confirmed(outcome, -11, 0).kind == "finding"


def test_a_wrongly_pruned_model_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    stage = Stage(os.open(os.devnull, os.O_WRONLY))
    model_cases._prune(stage, path, [1, 4], "fold")
    real = hardener.prune_channels

    def other(model: Path, channels: Sequence[int], output: Path, **more: Any) -> Any:  # noqa: ANN401
        return real(model, [0], output, **more)

    monkeypatch.setattr(hardener, "prune_channels", other, raising=False)
    with pytest.raises(WrongSuccessError, match="outputs differ"):
        model_cases._prune(stage, path, [1, 4], "fold")


def test_a_bug_in_the_examination_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")

    def broken(*_: object) -> None:
        raise KeyError("axis")

    monkeypatch.setattr(quarantine, "examine_here", broken)
    assert _kinds(lambda stage: model_cases._inspect(stage, path)) == ("finding", "KeyError")


def test_the_same_seed_makes_the_same_files() -> None:
    content = classifier(PLAIN, dict(PLAIN_SHAPES)).SerializeToString()
    seen: set[str] = set()
    for seed in range(150):
        first, again = (mutate_model(np.random.default_rng(seed), content) for _ in range(2))
        assert first == again
        seen.add(first[0])
        first, again = (mutate_bytes(np.random.default_rng(seed), content) for _ in range(2))
        assert first == again
        seen.add(first[0])
    assert seen == {*MODEL_MUTATIONS, *BYTE_MUTATIONS}


def test_unchanged_data_files_pass(tmp_path: Path) -> None:
    for name, seed in data_seeds().items():
        folder = tmp_path / name
        for path, content in seed.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        seed.read(folder)
        assert mutated_data(np.random.default_rng(1), seed)[1] != b""
