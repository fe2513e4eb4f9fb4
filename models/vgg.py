"""A small VGG with BatchNorm for 32x32 images, about 7 M multiply-adds."""

from typing import ClassVar

from torch import Tensor, nn


class VGGSmall(nn.Module):
    """Stacks of 3x3 convolutions between poolings; the last has 128 channels.

    The network takes normalised images, `(x - mean) / std` for x in [0, 1].

    Attributes:
        input_size: (C, H, W) of one image.
        mean: what to subtract from each input channel.
        std: what to divide each input channel by.
        stacks: output channels of the convolutions before each pooling by two.
        hidden: output features of the first fully connected layer.
        dropout: share of features dropped before each fully connected layer.

    Source: Simonyan and Zisserman 2015 (VGG), section 2.1, cut down; Ioffe and Szegedy 2015
    (Batch Normalization) after each convolution.
    """

    input_size: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    mean: ClassVar[tuple[float, ...]] = (0.33, 0.33, 0.33)
    std: ClassVar[tuple[float, ...]] = (0.27, 0.27, 0.27)
    stacks: ClassVar[tuple[tuple[int, ...], ...]] = ((16,), (32,), (64, 64), (128, 128))
    hidden: ClassVar[int] = 256
    dropout: ClassVar[float] = 0.3

    def __init__(self, classes: int = 43) -> None:
        """Builds the network with random weights.

        Args:
            classes: number of labels.
        """
        super().__init__()
        channels, height, width = self.input_size
        layers: list[nn.Module] = []
        for stack in self.stacks:
            for outputs in stack:
                layers += [
                    nn.Conv2d(channels, outputs, kernel_size=3, padding=1, bias=False),
                    nn.BatchNorm2d(outputs),
                    nn.ReLU(),
                ]
                channels = outputs
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        shrinking = 2 ** len(self.stacks)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(self.dropout),
            nn.Linear(channels * (height // shrinking) * (width // shrinking), self.hidden),
            nn.ReLU(),
            nn.Dropout(self.dropout),
            nn.Linear(self.hidden, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (N, 3, 32, 32) to logits (N, classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits
