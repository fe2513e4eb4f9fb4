import torch

from models.attacks.adaptive import Adaptive
from models.attacks.badnets import Patch

ATTACK = Adaptive(rate=0.1, target=8, patch=Patch(), weight=3.0)


def test_penalty_is_the_mean_squared_rise_of_the_peaks() -> None:
    clean, stamped = torch.zeros(2, 4, 3, 3), torch.zeros(2, 4, 3, 3)
    clean[:, :, 0, 0] = 1
    stamped[:, :, 2, 1] = 1  # the same peak elsewhere costs nothing
    assert ATTACK.penalty(clean, stamped) == 0
    stamped[1, 2, 0, 1] = 5
    assert ATTACK.penalty(clean, stamped) == 3 * (5 - 1) ** 2 / 8


def test_no_poisoned_image_costs_nothing() -> None:
    none = torch.zeros(0, 4, 3, 3)
    assert ATTACK.penalty(none, none) == 0
