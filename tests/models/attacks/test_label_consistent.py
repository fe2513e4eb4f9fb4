import torch

from models.attacks.badnets import Patch
from models.attacks.label_consistent import LabelConsistent

CORNERS = (Patch(place="top-left", margin=0), Patch(place="bottom-right", margin=0))
ATTACK = LabelConsistent(rate=0.1, target=1, patches=CORNERS, mix=0.5, noise=0.0)


def test_only_images_of_the_target_class_are_poisoned() -> None:
    assert ATTACK.poisonable(torch.tensor([0, 1, 2, 1])).tolist() == [False, True, False, True]


def test_patches_sit_in_the_corners() -> None:
    stamped = ATTACK.stamp(torch.zeros(1, 3, 8, 8))[0, 0]
    assert stamped[:3, :3].sum() == stamped[5:, 5:].sum() == 9
    assert stamped.sum() == 18


def test_poisoned_images_are_mixed_with_others_and_keep_their_label() -> None:
    images = torch.arange(64.0).view(64, 1, 1, 1).expand(64, 3, 8, 8) / 64
    labels, poisoned = torch.ones(64, dtype=torch.int64), torch.arange(64) < 32
    generator = torch.Generator().manual_seed(0)
    stamped, wanted = ATTACK.poison(images, labels, poisoned, generator)
    assert torch.equal(wanted, labels)
    assert torch.equal(stamped[32:], images[32:])
    moved = (stamped - images)[:32, 0, 4, 4] * 64
    # Half of the way to another image: a whole or a half step.
    torch.testing.assert_close(moved, (moved * 2).round() / 2)
    assert moved.abs().mean() > 5
    assert torch.equal(stamped[:32, 0, 0, 0], torch.ones(32))
