"""Every ending of a command has an exit code."""

from typing import get_args

from hardener.documents.prune import PruneOutcome
from hardener.documents.repair import RepairOutcome
from hardener.documents.scan import Verdict
from hardener.exit_codes import OF_A_VERDICT, OF_AN_OUTCOME


def test_every_verdict_and_outcome_has_one() -> None:
    assert set(OF_A_VERDICT) == set(get_args(Verdict))
    assert set(OF_AN_OUTCOME) == {*get_args(PruneOutcome), *get_args(RepairOutcome)}


def test_only_what_is_done_and_good_is_0() -> None:
    assert [verdict for verdict, code in OF_A_VERDICT.items() if code == 0] == ["clean"]
    good = {outcome for outcome, code in OF_AN_OUTCOME.items() if code == 0}
    assert good == {"written", "planned", "nothing-found"}
