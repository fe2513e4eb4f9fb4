import pytest
import torch
from support.operators import Case, check

from hardener.errors import ModelError
from hardener.model.differentiation.nodes import plain
from hardener.model.differentiation.table import OPERATORS


def test_a_line_in_the_table_is_all_that_a_new_operator_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    determinant = Case("d = Det(x)\ny = Relu(d)", shape=(2, 3, 4, 4))
    with pytest.raises(ModelError, match="not supported"):
        check(determinant)
    monkeypatch.setitem(OPERATORS, ("", "Det"), plain(torch.det))
    check(determinant)
