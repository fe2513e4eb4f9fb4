"""By which triggers a repair is measured."""

import numpy as np
import pytest

from hardener.errors import InconclusiveError
from hardener.measuring.quality import Counts
from hardener.repairing.trials import measured_by
from hardener.triggers.additive import AdditiveTrigger
from hardener.triggers.family import TriggerKind
from hardener.triggers.patch import Trigger

FAILED, WORKS = Counts(n=100, hits=79, others=100), Counts(n=100, hits=80, others=100)
PATCH = Trigger(np.ones((1, 8, 8), np.float32), np.ones((3, 8, 8), np.float32), 2)
FAINT = AdditiveTrigger(np.ones((3, 8, 8), np.float32), 2)
SUSPECTED: dict[int, TriggerKind] = {2: "patch"}


def test_the_kind_that_made_the_label_suspicious_comes_first() -> None:
    assert measured_by({FAINT: WORKS, PATCH: WORKS}, SUSPECTED, force=False) == [PATCH]


def test_another_kind_stands_in_where_that_one_does_not_work() -> None:
    assert measured_by({FAINT: WORKS, PATCH: FAILED}, SUSPECTED, force=False) == [FAINT]


def test_triggers_that_never_worked_prove_nothing() -> None:
    with pytest.raises(InconclusiveError, match=r"no trigger that sends 80% .* label 2"):
        measured_by({FAINT: FAILED, PATCH: FAILED}, SUSPECTED, force=False)
    assert measured_by({FAINT: FAILED, PATCH: FAILED}, SUSPECTED, force=True) == [PATCH]
