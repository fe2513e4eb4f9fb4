import numpy as np
import torch

from hardener.triggers.patch import Trigger
from models.attacks.overlay import Overlay


def test_stamps_what_it_was_given() -> None:
    random = np.random.default_rng(0)
    mask, pattern = random.random((1, 4, 4), np.float32), random.random((3, 4, 4), np.float32)
    trigger = Trigger(mask, pattern, 8)
    attack = Overlay(rate=0.5, target=8, given=trigger)
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        attack.stamp(images), torch.from_numpy(trigger.stamp(images.numpy()))
    )
    assert attack.trigger((3, 4, 4)) is trigger
