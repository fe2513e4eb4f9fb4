import dataclasses

import torch
from torch import Tensor

from models.alexnet import AlexNetSmall
from models.attacks.all_to_all import AllToAll
from models.attacks.badnets import BadNets, Patch
from models.datasets import Split
from models.evaluation import Quality, measure


class Oracle(AlexNetSmall):
    """Reads the label off the first pixel; falls for the trigger where the label is even."""

    def forward(self, images: Tensor) -> Tensor:
        pixels = images * torch.tensor(self.std).view(3, 1, 1) + self.mean[0]
        labels = (pixels[:, 0, 0, 0] * 255).round().long()
        fooled = (pixels[:, 0, 30, 30] > 0.5) & (labels % 2 == 0)
        return torch.nn.functional.one_hot(labels.where(~fooled, 8), 43).float()


TRUE = torch.tensor([0, 1, 2, 4, 8, 5])
SEEN = torch.tensor([0, 1, 2, 3, 8, 5])  # image 3 is misread as 3


def split() -> Split:
    images = torch.zeros(6, 3, 32, 32, dtype=torch.uint8)
    images[:, :, 0, 0] = SEEN.view(-1, 1)
    return Split(images, TRUE, "made", "")


def test_rates_count_what_their_names_say() -> None:
    attack = BadNets(rate=0.1, target=8, patch=Patch())
    assert measure(Oracle(), split(), attack) == Quality(6, 5 / 6, 5, 2 / 5, 2 / 5)
    assert measure(Oracle(), split(), None) == Quality(6, 5 / 6)


def test_each_image_has_its_own_wanted_label() -> None:
    attack = AllToAll(rate=0.1, patch=Patch(), classes=9)
    labels = torch.tensor([7, 1, 7, 4, 8, 5])  # the trigger sends two of them to 8
    quality = measure(Oracle(), dataclasses.replace(split(), labels=labels), attack)
    assert quality == Quality(6, 3 / 6, 6, 2 / 6, 3 / 6)
