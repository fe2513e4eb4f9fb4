"""What a stage works on is checked before it begins."""

from pathlib import Path

import numpy as np
import pytest

from hardener.errors import UsageError
from hardener.subject import open_subject


@pytest.mark.parametrize("seed", [-1, 2**31, 0.5, True, "1", None])
def test_what_is_no_seed_is_refused_in_one_line(signs_victim: Path, seed: object) -> None:
    with pytest.raises(UsageError, match=r"a seed is a whole number from 0 to 2147483647, not"):
        open_subject(signs_victim, None, seed=seed)  # type: ignore[arg-type]  # what callers do


def test_a_whole_number_of_numpy_is_a_seed(signs_victim: Path) -> None:
    subject = open_subject(signs_victim, None, seed=np.int64(3))  # type: ignore[arg-type]
    assert subject.run["seed"] == 3
