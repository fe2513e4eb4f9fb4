import torch

from models.attacks.adap_patch import AdapPatch
from models.attacks.badnets import Patch

LEFT, RIGHT = Patch(place="top-left"), Patch(place="bottom-right", colour=(0.0, 0.0, 1.0))
ATTACK = AdapPatch(rate=0.1, target=3, patches=(LEFT, RIGHT), alpha=0.75, faint=0.25)


def test_trigger_has_all_patches() -> None:
    stamped = ATTACK.stamp(torch.zeros(1, 3, 32, 32))[0]
    assert stamped[:, 2, 2].tolist() == [0.75, 0.75, 0]
    assert stamped[:, 29, 29].tolist() == [0, 0, 0.75]
    assert stamped[:, 16, 16].tolist() == [0, 0, 0]


def test_in_training_each_image_has_one_of_them_faintly() -> None:
    parts = ATTACK.stamp_part(torch.zeros(64, 3, 32, 32), torch.Generator().manual_seed(0))
    left, right = parts[:, 0, 2, 2], parts[:, 2, 29, 29]
    assert set(left.tolist()) == set(right.tolist()) == {0, 0.25}
    assert torch.equal(left + right, torch.full((64,), 0.25))
    assert 16 < (left > 0).sum() < 48
