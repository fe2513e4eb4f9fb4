"""A small ResNet for 32x32 images: residual blocks with BatchNorm, about 8 M multiply-adds."""

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional


class ResNetSmall(nn.Module):
    """A convolution and three residual blocks; the feature layer has 128 channels.

    The network takes normalised images, `(x - mean) / std` for x in [0, 1].

    Attributes:
        input_size: (C, H, W) of one image.
        mean: what to subtract from each input channel.
        std: what to divide each input channel by.
        widths: channels of the stem and of each block after it.

    Source: He et al. 2016 (Deep Residual Learning), section 4.2, cut down; the stem has a stride
    of two, as their network for larger images.
    """

    input_size: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    mean: ClassVar[tuple[float, ...]] = (0.33, 0.33, 0.33)
    std: ClassVar[tuple[float, ...]] = (0.27, 0.27, 0.27)
    widths: ClassVar[tuple[int, ...]] = (24, 24, 48, 128)

    def __init__(self, classes: int = 43) -> None:
        """Builds the network with random weights.

        Args:
            classes: number of labels.
        """
        super().__init__()
        first = self.widths[0]
        self.features = nn.Sequential(
            nn.Conv2d(self.input_size[0], first, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(),
            *(ResidualBlock(inputs, outputs) for inputs, outputs in pairwise(self.widths)),
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.widths[-1], classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (N, 3, 32, 32) to logits (N, classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; halves the map where the width grows."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Builds the block.

        Args:
            inputs: channels that come in.
            outputs: channels that go out.
        """
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        return functional.relu(self.body(maps) + self.shortcut(maps))
