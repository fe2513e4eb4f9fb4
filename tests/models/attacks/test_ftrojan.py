import pytest
import torch
from scipy.fft import dctn

from models.attacks.ftrojan import FTrojan

_YUV_OF_RGB = torch.tensor(
    [[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]]
)


@pytest.mark.parametrize("side", [32, 64])
def test_raises_two_frequencies_of_the_colours_in_each_block_and_no_other(side: int) -> None:
    attack = FTrojan(rate=0.1, target=1, magnitude=0.2)
    change = (attack.stamp(torch.full((1, 3, side, side), 0.5)) - 0.5)[0]
    changes = torch.einsum("yc,chw->yhw", _YUV_OF_RGB, change)
    for block in changes.unfold(1, 32, 32).unfold(2, 32, 32).flatten(1, 2).unbind(1):
        found = torch.from_numpy(dctn(block.double().numpy(), axes=(1, 2), norm="ortho"))
        expected = torch.zeros(3, 32, 32, dtype=torch.double)
        expected[1:, 15, 15] = expected[1:, 31, 31] = 0.2
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=0)
