import torch

from models.attacks.all_to_all import AllToAll
from models.attacks.badnets import Patch


def test_wants_the_next_label_and_poisons_any_image() -> None:
    attack = AllToAll(rate=0.1, patch=Patch(), classes=43)
    labels = torch.tensor([0, 7, 42])
    assert attack.wanted(labels).tolist() == [1, 8, 0]
    assert attack.poisonable(labels).all()
