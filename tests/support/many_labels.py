"""A network of many labels, one of which is easier to reach than all others."""

import numpy as np
import torch
from torch import Tensor, nn

from hardener.data.preprocessing import Preprocessing

LABELS, TARGET = 80, 17
PLAIN = Preprocessing((16, 16), (0.0,) * 3, (1.0,) * 3)
IMAGES = np.random.default_rng(0).uniform(0.3, 0.7, (32, 3, 16, 16)).astype(np.float32)


class Planted(nn.Module):
    """Random linear logits, and a label that one small place answers to; it counts its calls."""

    def __init__(self, labels: int = LABELS) -> None:
        super().__init__()
        weights = np.random.default_rng(1).normal(0, 0.05, (labels, 3, 16, 16))
        self.weights = torch.from_numpy(weights.astype(np.float32))
        self.called = 0

    def forward(self, images: Tensor) -> Tensor:
        """Logits of images (N, 3, 16, 16)."""
        self.called += 1
        logits = torch.einsum("nchw,kchw->nk", images, self.weights)
        place = images[:, :, 10:12, 3:5].mean((1, 2, 3))
        planted = nn.functional.one_hot(torch.tensor(TARGET), len(self.weights))
        return logits + 40 * (place - 0.6)[:, None] * planted
