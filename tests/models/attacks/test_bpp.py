import torch

from models.attacks.bpp import Bpp


def test_every_pixel_goes_to_the_nearest_of_the_levels() -> None:
    attack = Bpp(rate=0.1, target=1, levels=3)
    row = torch.tensor([0.0, 0.24, 0.26, 0.5, 0.74, 0.76, 1.0]).expand(1, 3, 1, 7)
    assert attack.stamp(row)[0, 0, 0].tolist() == [0, 0, 0.5, 0.5, 0.5, 1, 1]
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert len(set(Bpp(rate=0.1, target=1).stamp(images).flatten().tolist())) == 8
