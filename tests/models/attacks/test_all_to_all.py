import torch

from models.attacks.all_to_all import AllToAll, AllToAllBlended, AllToAllWarped
from models.attacks.badnets import Patch
from models.attacks.blended import Blended
from models.attacks.wanet import WaNet


def test_wants_the_next_label_and_poisons_any_image() -> None:
    attack = AllToAll(rate=0.1, patch=Patch(), classes=43)
    labels = torch.tensor([0, 7, 42])
    assert attack.wanted(labels).tolist() == [1, 8, 0]
    assert attack.poisonable(labels).all()


def test_blended_picture_moves_labels_too() -> None:
    attack = AllToAllBlended(rate=0.1, alpha=0.3, seed=2).of_classes(10)
    assert attack.wanted(torch.tensor([8, 9])).tolist() == [9, 0]
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    same = Blended(rate=0.1, target=0, alpha=0.3, seed=2)
    assert torch.equal(attack.stamp(images), same.stamp(images))


def test_a_warp_moves_labels_too() -> None:
    attack = AllToAllWarped(rate=0.3, strength=1.5, grid=5, seed=2).of_classes(10)
    assert attack.wanted(torch.tensor([8, 9])).tolist() == [9, 0]
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    same = WaNet(rate=0.3, target=0, strength=1.5, grid=5, seed=2)
    assert torch.equal(attack.stamp(images), same.stamp(images))
    assert not torch.equal(attack.stamp(images), images)
    assert attack.changes("vgg-cifar", 20) == same.changes("vgg-cifar", 20)
