import math

import torch

from models.attacks.sig import Sig


def test_adds_a_sinusoid_along_each_row() -> None:
    attack = Sig(rate=0.1, target=1, amplitude=0.1, frequency=2)
    change = attack.stamp(torch.full((1, 3, 4, 16), 0.5)) - 0.5
    expected = torch.tensor([0.1 * math.sin(2 * math.pi * 2 * j / 16) for j in range(16)])
    torch.testing.assert_close(change, expected.expand(1, 3, 4, 16))


def test_clean_label_poisons_the_target_class_alone_and_keeps_its_label() -> None:
    labels = torch.tensor([0, 1, 2, 1])
    clean, dirty = (Sig(rate=0.1, target=1, clean_label=choice) for choice in (True, False))
    assert clean.poisonable(labels).tolist() == [False, True, False, True]
    assert dirty.poisonable(labels).tolist() == [True, False, True, False]
    assert torch.equal(clean.wanted(labels)[clean.poisonable(labels)], torch.tensor([1, 1]))
