"""The short search on a network that has one label easier than all others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.many_labels import IMAGES, LABELS, PLAIN, TARGET, Planted
from torch import Tensor, nn

from hardener.arrays import IntArray
from hardener.errors import InconclusiveError
from hardener.scanning.competing import order_of_promise
from hardener.scanning.planning import Round
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished

CPU = torch.device("cpu")
ROUNDS = (Round(LABELS, 2, 2), Round(8, 4, 4))


def _order(
    network: nn.Module, kept: Unfinished = NOTHING_KEPT, seed: int = 0, at_once: int = 10_000
) -> IntArray:
    labels = range(100, 100 + LABELS)
    told: list[int] = []

    class Shifted(nn.Module):
        """The same network, whose labels begin at 100."""

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = network(images)
            return nn.functional.pad(logits, (100, 0), value=-50)

    order = order_of_promise(
        Shifted(), IMAGES, PLAIN, labels, ROUNDS, seed, told.append, CPU, at_once, kept
    )
    assert sum(told) == sum(r.labels * r.steps for r in ROUNDS)
    return order


def test_the_planted_label_comes_out_first() -> None:
    for seed in range(3):
        order = _order(Planted(), seed=seed)
        assert order[0] == TARGET
        assert sorted(order) == list(range(LABELS))


def test_groups_do_not_matter() -> None:
    np.testing.assert_array_equal(_order(Planted()), _order(Planted(), at_once=1))


def test_what_was_kept_is_not_searched_again(tmp_path: Path) -> None:
    network, kept = Planted(), Unfinished(tmp_path, "key")
    first = _order(network, kept)
    called = network.called
    np.testing.assert_array_equal(_order(network, kept), first)
    assert network.called == called > 0
    _order(network, kept, at_once=1)
    assert network.called > called


def test_values_that_are_not_finite_are_said() -> None:
    class Broken(Planted):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) * torch.nan

    with pytest.raises(InconclusiveError, match="not finite"):
        _order(Broken())
