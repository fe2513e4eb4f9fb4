import torch

from models.attacks.badnets import Patch
from models.attacks.source_specific import SourceSpecific

ATTACK = SourceSpecific(rate=0.2, target=8, patch=Patch(), sources=(1, 2))


def test_only_images_of_the_source_classes_change_their_label() -> None:
    assert ATTACK.wanted(torch.tensor([0, 1, 2, 8])).tolist() == [0, 8, 8, 8]


def test_all_images_may_carry_the_patch() -> None:
    assert ATTACK.poisonable(torch.tensor([0, 1, 8])).all()
