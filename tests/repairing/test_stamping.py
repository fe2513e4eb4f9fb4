import numpy as np
import pytest
import torch

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.repairing.stamping import STRENGTHS, Pool, in_strengths, pairs, stamped
from hardener.triggers.additive import AdditiveTrigger


def _plain(value: float) -> AdditiveTrigger:
    return AdditiveTrigger(np.full((1, 2, 2), value, np.float32), 0)


def _images(count: int) -> FloatArray:
    return np.zeros((count, 1, 2, 2), np.float32)


def test_each_origin_stamps_as_many_images_whatever_it_holds() -> None:
    pool: Pool = ([_plain(0.1)], [], [_plain(0.2), _plain(0.3), _plain(0.4)])
    marks = stamped(_images(3000), pool, np.random.default_rng(0))[:, 0, 0, 0]
    shares = [np.mean(np.isclose(marks, value)) for value in (0.1, 0.2, 0.3, 0.4)]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(0.5, abs=0.03)
    assert shares[1:] == pytest.approx([1 / 6] * 3, abs=0.03)


def test_the_given_images_stay() -> None:
    shown = _images(4)
    stamped(shown, ([_plain(0.5)],), np.random.default_rng(0))
    assert not shown.any()


def test_perturbations_come_in_every_strength_and_stay_perturbations() -> None:
    found = in_strengths([_plain(0.5), _plain(0.9)])
    assert [trigger.perturbation.max() for trigger in found] == pytest.approx(
        [min(1, strength * value) for value in (0.5, 0.9) for strength in STRENGTHS]
    )


def test_pairs_are_of_the_same_images_and_normalised() -> None:
    shown = np.random.default_rng(1).uniform(0, 0.5, (130, 1, 2, 2)).astype(np.float32)
    found = list(
        pairs(
            shown,
            ([_plain(0.25)],),
            Preprocessing((2, 2), (0.5,), (0.25,)),
            torch.device("cpu"),
            0,
        )
    )
    clean, marked = (torch.cat(parts) for parts in zip(*found, strict=True))
    torch.testing.assert_close(clean, (torch.from_numpy(shown) - 0.5) / 0.25)
    torch.testing.assert_close(marked - clean, torch.ones_like(clean))
