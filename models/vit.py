"""A small vision transformer for 32x32 images, about 22 M multiply-adds."""

from typing import ClassVar

import torch
from torch import Tensor, nn


class ViTSmall(nn.Module):
    """Four transformer blocks on 8x8 patches of 4x4 pixels; the feature layer has 96 channels.

    The network takes normalised images, `(x - mean) / std` for x in [0, 1]. The logits come from
    the mean of the tokens; there is no class token.

    Attributes:
        input_size: (C, H, W) of one image.
        mean: what to subtract from each input channel.
        std: what to divide each input channel by.
        patch: side of a patch, in pixels.
        width: features of a token.
        heads: of each attention.
        depth: number of blocks.

    Source: Dosovitskiy et al. 2021 (An Image is Worth 16x16 Words), section 3.1; the mean of
    tokens as in Zhai et al. 2022 (Scaling Vision Transformers), section 3.3.
    """

    input_size: ClassVar[tuple[int, int, int]] = (3, 32, 32)
    mean: ClassVar[tuple[float, ...]] = (0.33, 0.33, 0.33)
    std: ClassVar[tuple[float, ...]] = (0.27, 0.27, 0.27)
    patch: ClassVar[int] = 4
    width: ClassVar[int] = 96
    heads: ClassVar[int] = 4
    depth: ClassVar[int] = 4

    def __init__(self, classes: int = 43) -> None:
        """Builds the network with random weights.

        Args:
            classes: number of labels.
        """
        super().__init__()
        channels, height, width = self.input_size
        grid = (height // self.patch, width // self.patch)
        self.features = nn.Sequential(
            nn.Conv2d(channels, self.width, self.patch, stride=self.patch),
            Tokens(self.width, grid[0] * grid[1]),
            *(Block(self.width, self.heads) for _ in range(self.depth)),
            nn.LayerNorm(self.width),
            Grid(grid),
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(self.width, classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalised images (N, 3, 32, 32) to logits (N, classes)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


class Tokens(nn.Module):
    """Puts the places of a map in a row and adds to each what says where it was."""

    def __init__(self, width: int, count: int) -> None:
        """Builds the layer.

        Args:
            width: features of a token.
            count: number of tokens.
        """
        super().__init__()
        self.places = nn.Parameter(torch.randn(1, count, width) * 0.02)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (N, width, H, W) to tokens (N, H W, width)."""
        return maps.flatten(2).transpose(1, 2) + self.places


class Grid(nn.Module):
    """Puts tokens back to where they were."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Builds the layer.

        Args:
            size: (H, W) of the map.
        """
        super().__init__()
        self.size = size

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps tokens (N, H W, width) to (N, width, H, W)."""
        return tokens.transpose(1, 2).reshape(-1, tokens.shape[2], *self.size)


class Block(nn.Module):
    """Attention and two fully connected layers, each behind LayerNorm and added."""

    def __init__(self, width: int, heads: int) -> None:
        """Builds the block.

        Args:
            width: features of a token.
            heads: of the attention.
        """
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        self.mixing = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps tokens (N, T, width) to the same shape."""
        attended = tokens + self.attention(tokens)
        mixed: Tensor = attended + self.mixing(attended)
        return mixed


class Attention(nn.Module):
    """Multi-head self-attention in plain products, so that it exports as MatMul and Softmax.

    softmax(q k^T / sqrt(d)) v for each head of d features.

    Source: Vaswani et al. 2017 (Attention Is All You Need), section 3.2, equation 1.
    """

    def __init__(self, width: int, heads: int) -> None:
        """Builds the layer.

        Args:
            width: features of a token.
            heads: among which they are divided.
        """
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.queries, self.keys, self.values, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        """Maps tokens (N, T, width) to the same shape."""
        queries, keys, values = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.queries, self.keys, self.values)
        )
        weights = (queries @ keys.transpose(2, 3) * self.scale).softmax(dim=-1)
        mixed: Tensor = self.out((weights @ values).transpose(1, 2).flatten(2))
        return mixed
