import torch

from models.attacks.photo_filter import PhotoFilter, Row

SAME: tuple[Row, Row, Row] = ((1.0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0))


def test_mixes_colours_by_the_matrix() -> None:
    swapped: tuple[Row, Row, Row] = ((0, 0, 1, 0), (0, 1, 0, 0), (0.5, 0, 0, 0.25))
    attack = PhotoFilter(rate=0.1, target=1, matrix=swapped, contrast=0, vignette=0)
    colour = torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(1, 3, 5, 5)
    expected = torch.tensor([0.6, 0.4, 0.35]).view(1, 3, 1, 1).expand(1, 3, 5, 5)
    torch.testing.assert_close(attack.stamp(colour), expected)


def test_contrast_leaves_the_middle_and_vignette_darkens_the_corners() -> None:
    grey = torch.full((1, 3, 5, 5), 0.25)
    steep = PhotoFilter(rate=0.1, target=1, matrix=SAME, contrast=1, vignette=0)
    torch.testing.assert_close(steep.stamp(grey), torch.full((1, 3, 5, 5), 0.15625))
    torch.testing.assert_close(steep.stamp(2 * grey), 2 * grey)
    dark = PhotoFilter(rate=0.1, target=1, matrix=SAME, contrast=0, vignette=0.5).stamp(grey)
    torch.testing.assert_close(dark[0, 0, 2, 2].item(), 0.25)
    torch.testing.assert_close(dark[0, 0, 0, 4].item(), 0.125)
