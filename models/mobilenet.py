"""A small MobileNet for 32x32 images: depthwise convolutions, BatchNorm, ReLU6."""

from typing import ClassVar, NamedTuple

from torch import Tensor, nn


class Block(NamedTuple):
    """Widths and stride of one inverted residual block."""

    inputs: int
    outputs: int
    stride: int


class MobileNetSmall(nn.Module):
    """Six inverted residual blocks and a 1x1 convolution; the feature layer has 192 channels.

    The network takes normalised images, `(x - mean) / std` for x in [0, 1].

    Attributes:
        input_size: (C, H, W) of one image.
        mean: what to subtract from each input channel.
        std: what to divide each input channel by.
        blocks: the inverted residual blocks.
        expansion: how many times wider a block is inside.
        width: channels of the feature layer.

    Source: Sandler et al. 2018 (MobileNetV2), table 2, cut down.
    """

    input_size: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    mean: ClassVar[tuple[float, ...]] = (0.33, 0.33, 0.33)
    std: ClassVar[tuple[float, ...]] = (0.27, 0.27, 0.27)
    blocks: ClassVar[tuple[Block, ...]] = (
        Block(16, 24, 2),
        Block(24, 24, 1),
        Block(24, 48, 2),
        Block(48, 48, 1),
        Block(48, 48, 1),
        Block(48, 64, 1),
    )
    expansion: ClassVar[int] = 4
    width: ClassVar[int] = 192

    def __init__(self, classes: int = 43) -> None:
        """Builds the network with random weights.

        Args:
            classes: number of labels.
        """
        super().__init__()
        self.features = nn.Sequential(
            *convolution(self.input_size[0], self.blocks[0].inputs, kernel=3, stride=2),
            nn.ReLU6(),
            *(InvertedResidual(block, self.expansion) for block in self.blocks),
            *convolution(self.blocks[-1].outputs, self.width),
            nn.ReLU6(),
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.width, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (N, 3, 32, 32) to logits (N, classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class InvertedResidual(nn.Module):
    """Widens by a 1x1 convolution, filters each channel alone, narrows; adds where it can."""

    def __init__(self, block: Block, expansion: int) -> None:
        """Builds the block.

        Args:
            block: channels that come in and go out, and the stride.
            expansion: how many times wider the block is inside.
        """
        super().__init__()
        wide = block.inputs * expansion
        self.adds = block.stride == 1 and block.inputs == block.outputs
        self.body = nn.Sequential(
            *convolution(block.inputs, wide),
            nn.ReLU6(),
            *convolution(wide, wide, kernel=3, stride=block.stride, groups=wide),
            nn.ReLU6(),
            *convolution(wide, block.outputs),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        filtered: Tensor = self.body(maps)
        return maps + filtered if self.adds else filtered


def convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """A convolution that keeps the map's size but for its stride, and BatchNorm."""
    return (
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )
