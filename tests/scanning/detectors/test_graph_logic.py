from dataclasses import replace
from pathlib import Path

import numpy as np
from support import written_logic
from support.graphs import classifier, saved

from hardener.model.classifier import open_classifier
from hardener.model.folding import ConstantOperand
from hardener.model.runtime import on_cpu
from hardener.model.waking import Waking
from hardener.scanning.detectors.graph_logic import (
    Written,
    graph_logic_finding,
    without_graph_logic,
)
from hardener.scanning.finding import Finding
from hardener.scanning.verdict import judge, told, weigh
from hardener.subject import Subject

OPERAND = ConstantOperand(
    "flag", np.zeros((1, 1), np.float32), 0.0, (3,), (1, 2), ("flag",), True, "what a gives to b"
)
QUIET = Finding(scores=np.full(10, 0.1, np.float32))


def _finding(*wakings: Waking, searched: range = range(10)) -> Finding:
    written = [Written(OPERAND, waking) for waking in wakings]
    return graph_logic_finding(written, 512, 10, searched)


def test_an_operand_that_sends_images_to_a_label_is_a_backdoor_with_that_target() -> None:
    finding = _finding(Waking(label=3, sent=0.99, moved=0.9))
    judgement = judge([finding, QUIET], weigh([finding, QUIET]))
    assert (judgement.verdict, judgement.targets) == ("backdoored", (3,))
    assert "what a gives to b is the same on all 512 clean images" in judgement.reasons[0]
    assert told("graph-logic", finding).verdict == "backdoored"


def test_one_that_exchanges_labels_is_a_backdoor_without_a_target() -> None:
    finding = _finding(Waking(label=3, sent=0.12, moved=0.97))
    judgement = judge([finding, QUIET], weigh([finding, QUIET]))
    assert (judgement.verdict, judgement.targets) == ("backdoored", ())


def test_a_target_that_was_not_searched_is_not_named() -> None:
    finding = _finding(Waking(label=3, sent=0.99, moved=0.9), searched=range(4, 10))
    judgement = judge([finding, QUIET], weigh([finding, QUIET]))
    assert (judgement.verdict, judgement.targets) == ("backdoored", ())


def test_one_inside_the_network_that_overrides_it_accuses_no_model() -> None:
    inside = Written(replace(OPERAND, bypass=False), Waking(label=3, sent=0.99, moved=0.9))
    finding = graph_logic_finding([inside], 512, 10, range(10))
    judgement = judge([finding, QUIET], weigh([finding, QUIET]))
    assert (judgement.verdict, judgement.targets) == ("inconclusive", ())
    assert any("part of a network that sleeps" in reason for reason in judgement.reasons)


def test_one_that_nothing_wakes_keeps_a_model_from_being_clean() -> None:
    finding = _finding(Waking(label=0, sent=0.1, moved=0.2))
    judgement = judge([finding, QUIET], weigh([finding, QUIET]))
    assert judgement.verdict == "inconclusive"
    assert any("what it waits for" in reason for reason in judgement.reasons)


def test_a_graph_without_any_is_no_evidence() -> None:
    assert judge([_finding(), QUIET], weigh([_finding(), QUIET])).verdict == "clean"


def test_a_batch_that_is_larger_than_the_sample_is_filled_up(tmp_path: Path) -> None:
    model = classifier(written_logic.written("relu", "64"), written_logic.shapes("relu"))
    opened = open_classifier(saved(model, tmp_path / "m.onnx"), ({"mean": (0.0,), "std": (1.0,)},))
    subject = Subject(opened, None, on_cpu(1), 0)
    rest, found = without_graph_logic(subject, written_logic.clean_images(24))
    assert [one.waking.label for one in found] == [3]
    assert rest is not subject
