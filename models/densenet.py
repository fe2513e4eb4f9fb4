"""A small DenseNet for 32x32 images: dense blocks with BatchNorm, about 13 M multiply-adds."""

from typing import ClassVar

import torch
from torch import Tensor, nn


class DenseNetSmall(nn.Module):
    """Three dense blocks between poolings; the feature layer has 120 channels.

    The network takes normalised images, `(x - mean) / std` for x in [0, 1].

    Attributes:
        input_size: (C, H, W) of one image.
        mean: what to subtract from each input channel.
        std: what to divide each input channel by.
        first: channels of the stem.
        growth: channels that each layer of a dense block adds.
        depths: layers of each dense block.

    Source: Huang et al. 2017 (Densely Connected Convolutional Networks), section 3, cut down,
    without bottlenecks; the stem has a stride of two, as their network for larger images.
    """

    input_size: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    mean: ClassVar[tuple[float, ...]] = (0.33, 0.33, 0.33)
    std: ClassVar[tuple[float, ...]] = (0.27, 0.27, 0.27)
    first: ClassVar[int] = 32
    growth: ClassVar[int] = 16
    depths: ClassVar[tuple[int, ...]] = (4, 4, 4)

    def __init__(self, classes: int = 43) -> None:
        """Builds the network with random weights.

        Args:
            classes: number of labels.
        """
        super().__init__()
        channels = self.first
        layers: list[nn.Module] = [
            nn.Conv2d(self.input_size[0], channels, kernel_size=3, stride=2, padding=1, bias=False)
        ]
        for number, depth in enumerate(self.depths):
            if number:
                # A transition: half the channels, half the map.
                layers += [*_convolution(channels, channels // 2, kernel=1), nn.AvgPool2d(2)]
                channels //= 2
            for _ in range(depth):
                layers.append(DenseLayer(channels, self.growth))
                channels += self.growth
        self.features = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU())
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (N, 3, 32, 32) to logits (N, classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class DenseLayer(nn.Module):
    """BatchNorm, ReLU and a 3x3 convolution, whose maps are put behind those that came in."""

    def __init__(self, inputs: int, growth: int) -> None:
        """Builds the layer.

        Args:
            inputs: channels that come in.
            growth: channels that are added.
        """
        super().__init__()
        self.body = nn.Sequential(*_convolution(inputs, growth, kernel=3))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, inputs + growth, H, W)."""
        return torch.cat((maps, self.body(maps)), dim=1)


def _convolution(inputs: int, outputs: int, kernel: int) -> tuple[nn.Module, ...]:
    return (
        nn.BatchNorm2d(inputs),
        nn.ReLU(),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
    )
