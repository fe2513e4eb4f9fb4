import numpy as np
import torch

from models.attacks.blended import Blended


def test_takes_alpha_of_the_picture_and_the_rest_of_the_image() -> None:
    attack = Blended(rate=0.1, target=3, alpha=0.25, seed=4)
    black, white = (attack.stamp(torch.full((1, 3, 8, 8), value)) for value in (0.0, 1.0))
    torch.testing.assert_close(white - black, torch.full((1, 3, 8, 8), 0.75))
    torch.testing.assert_close(black[0], 0.25 * torch.from_numpy(attack.trigger((3, 8, 8)).pattern))


def test_seed_draws_the_picture() -> None:
    pictures = [
        Blended(rate=0.1, target=3, seed=seed).trigger((3, 8, 8)).pattern for seed in (1, 2)
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() > 0.2
