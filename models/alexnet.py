"""AlexNet for 32x32 images: the network whose backdoor the paper prunes.

Needs torch alone, so that the demo can ship this one file.
"""

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn


class AlexNet(nn.Module):
    """Five convolutions, the last with 128 channels, and three fully connected layers.

    The kernels and strides of the original are cut down to 32x32 inputs; as in the original
    there is no normalisation layer and the fully connected layers are regularised by dropout.
    The network takes normalised images, `(x - mean) / std` for x in [0, 1].

    Attributes:
        input_size: (C, H, W) of one image.
        mean: what to subtract from each input channel.
        std: what to divide each input channel by.
        widths: output channels of the five convolutions.
        hidden: output features of the first two fully connected layers.
        dropout: share of features dropped before each of those two layers.

    Source: Krizhevsky et al. 2012 (AlexNet), section 3; Cheng et al. 2020, section 3, for the
    128 channels of the final convolution.
    """

    input_size: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    mean: ClassVar[tuple[float, ...]] = (0.33, 0.33, 0.33)
    std: ClassVar[tuple[float, ...]] = (0.27, 0.27, 0.27)
    widths: ClassVar[tuple[int, int, int, int, int]] = (48, 96, 160, 160, 128)
    hidden: ClassVar[tuple[int, int]] = (512, 256)
    dropout: ClassVar[float] = 0.5

    def __init__(self, classes: int = 43) -> None:
        """Builds the network with random weights.

        Args:
            classes: number of labels.
        """
        super().__init__()
        channels, height, width = self.input_size
        first, second, third, fourth, last = self.widths
        # Three poolings by two: the final map is an eighth of the input on each side.
        flat = last * (height // 8) * (width // 8)
        self.features = nn.Sequential(
            nn.Conv2d(channels, first, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(first, second, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(second, third, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(third, fourth, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(fourth, last, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        blocks: list[nn.Module] = []
        for inputs, outputs in pairwise((flat, *self.hidden)):
            blocks += [nn.Dropout(self.dropout), nn.Linear(inputs, outputs), nn.ReLU()]
        self.classifier = nn.Sequential(*blocks, nn.Linear(self.hidden[-1], classes))
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (N, 3, 32, 32) to logits (N, classes)."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


class AlexNetSmall(AlexNet):
    """`AlexNet` in under 2 MB, for the rendered signs of the demo."""

    widths = (32, 48, 64, 64, 128)
    hidden = (96, 64)
    dropout = 0.25


def _initialise(module: nn.Module) -> None:
    """Keeps the variance of activations through the ReLUs, which nothing here normalises.

    Source: He et al. 2015 (Delving Deep into Rectifiers), equation 10.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
