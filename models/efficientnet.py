"""A small EfficientNet for 32x32 images: squeeze and excite, SiLU, about 4 M multiply-adds."""

from typing import ClassVar, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from models.mobilenet import convolution


class Stage(NamedTuple):
    """Widths, stride and kernel of one inverted residual block."""

    inputs: int
    outputs: int
    stride: int
    kernel: int


class EfficientNetSmall(nn.Module):
    """Five inverted residual blocks with squeeze and excite; the feature layer has 192 channels.

    The network takes normalised images, `(x - mean) / std` for x in [0, 1].

    Attributes:
        input_size: (C, H, W) of one image.
        mean: what to subtract from each input channel.
        std: what to divide each input channel by.
        stages: the inverted residual blocks.
        expansion: how many times wider a block is inside.
        width: channels of the feature layer.

    Source: Tan and Le 2019 (EfficientNet), table 1, cut down.
    """

    input_size: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    mean: ClassVar[tuple[float, ...]] = (0.33, 0.33, 0.33)
    std: ClassVar[tuple[float, ...]] = (0.27, 0.27, 0.27)
    stages: ClassVar[tuple[Stage, ...]] = (
        Stage(24, 32, 2, 3),
        Stage(32, 32, 1, 3),
        Stage(32, 64, 2, 5),
        Stage(64, 64, 1, 5),
        Stage(64, 96, 1, 3),
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
            *convolution(self.input_size[0], self.stages[0].inputs, kernel=3, stride=2),
            nn.SiLU(),
            *(MBConv(stage, self.expansion) for stage in self.stages),
            *convolution(self.stages[-1].outputs, self.width),
            nn.SiLU(),
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.width, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (N, 3, 32, 32) to logits (N, classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class MBConv(nn.Module):
    """Widens, filters each channel alone, weighs the channels, narrows; adds where it can."""

    def __init__(self, stage: Stage, expansion: int) -> None:
        """Builds the block.

        Args:
            stage: channels that come in and go out, stride and kernel.
            expansion: how many times wider the block is inside.
        """
        super().__init__()
        wide = stage.inputs * expansion
        self.adds = stage.stride == 1 and stage.inputs == stage.outputs
        self.body = nn.Sequential(
            *convolution(stage.inputs, wide),
            nn.SiLU(),
            *convolution(wide, wide, kernel=stage.kernel, stride=stage.stride, groups=wide),
            nn.SiLU(),
            SqueezeExcite(wide, stage.inputs // 4),
            *convolution(wide, stage.outputs),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        filtered: Tensor = self.body(maps)
        return maps + filtered if self.adds else filtered


class SqueezeExcite(nn.Module):
    """Weighs each channel by what the means of all channels say.

    Source: Hu et al. 2018 (Squeeze-and-Excitation Networks), section 3.
    """

    def __init__(self, channels: int, narrow: int) -> None:
        """Builds the layer.

        Args:
            channels: that come in and go out.
            narrow: features between its two 1x1 convolutions.
        """
        super().__init__()
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, narrow, 1),
            nn.SiLU(),
            nn.Conv2d(narrow, channels, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, channels, H, W) to the same shape."""
        return maps * functional.sigmoid(self.weigh(maps))
