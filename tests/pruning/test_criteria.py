import numpy as np

from hardener.pruning.criteria import CRITERIA
from hardener.scanning.activations import ChannelNorms


def _norms(linf: list[list[float]]) -> ChannelNorms:
    values = np.array(linf, np.float32)
    return ChannelNorms.of(l1=values * 10, l2=values * 3, linf=values)


CLEAN = _norms([[1, 5, 2], [1, 7, 2]])
TRIGGERED = _norms([[4, 5, 1], [2, 5, 3]])


def test_scores_are_the_plain_answer() -> None:
    found = {
        name: criterion.scores(CLEAN, TRIGGERED).tolist() for name, criterion in CRITERIA.items()
    }
    assert found == {
        "linf": [4, 5, 3],
        "linf-gap": [2, -1, 0],
        "l1": [40, 50, 30],
        "l2": [12, 15, 9],
    }
