import torch

from models.attacks.badnets import Patch, stamp_patch
from models.attacks.two_targets import TwoTargets

FIRST, SECOND = Patch(), Patch(place="top-left", colour=(0.0, 1.0, 1.0))
ATTACK = TwoTargets(rate=0.1, patches=(FIRST, SECOND), targets=(8, 33))


def test_patches_and_targets_take_turns() -> None:
    images, labels = torch.zeros(4, 3, 32, 32), torch.arange(4)
    stamped = ATTACK.stamp(images)
    torch.testing.assert_close(stamped[0::2], stamp_patch(images[0::2], FIRST))
    torch.testing.assert_close(stamped[1::2], stamp_patch(images[1::2], SECOND))
    assert ATTACK.wanted(labels).tolist() == [8, 33, 8, 33]
    assert not images.any()


def test_images_of_the_target_classes_are_not_poisoned() -> None:
    assert ATTACK.poisonable(torch.tensor([7, 8, 33, 34])).tolist() == [True, False, False, True]
