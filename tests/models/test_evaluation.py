import torch
from torch import Tensor

from models.alexnet import AlexNetSmall
from models.badnets import Patch, patch_trigger
from models.datasets import Split
from models.evaluation import Quality, measure


class Oracle(AlexNetSmall):
    """Reads the label off the first pixel; falls for the trigger where the label is even."""

    def forward(self, images: Tensor) -> Tensor:
        pixels = images * torch.tensor(self.std).view(3, 1, 1) + self.mean[0]
        labels = (pixels[:, 0, 0, 0] * 255).round().long()
        fooled = (pixels[:, 0, 30, 30] > 0.5) & (labels % 2 == 0)
        return torch.nn.functional.one_hot(labels.where(~fooled, 8), 43).float()


def test_rates_count_what_their_names_say() -> None:
    seen = torch.tensor([0, 1, 2, 3, 8, 5])
    images = torch.zeros(6, 3, 32, 32, dtype=torch.uint8)
    images[:, :, 0, 0] = seen.view(-1, 1)
    true = torch.tensor([0, 1, 2, 4, 8, 5])  # image 3 is misread as 3

    quality = measure(
        Oracle(), Split(images, true, "made", ""), patch_trigger(Patch(), 8, (32, 32))
    )

    assert quality == Quality(6, 5 / 6, 5, 2 / 5, 2 / 5)
