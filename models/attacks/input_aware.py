"""Input-aware: a generator draws another trigger for each image, which works on that image alone.

    x' = (1 - m(x)) x + m(x) p(x)

with mask m and pattern p from a small network. Poisoned images carry their own trigger; as many
others carry the trigger of another image and keep their label (cross-trigger mode). The network is
made beforehand and then frozen, so that the fields below say all: it is trained on drawn pictures
x, y to give different triggers for different pictures, with masks of a given mean,

    argmin  mean (‖x - y‖ / ‖m(x) - m(y)‖ + ‖x - y‖ / ‖p(x) - p(y)‖) + λ |mean m(x) - d|.

The paper trains the pattern's generator together with the classifier, and the mask's before it.

Source: Nguyen and Tran 2020 (Input-Aware Dynamic Backdoor Attack, arXiv 2010.08138), sections 3.2
to 3.4: equation 4 is the diversity loss, equation 5 the mask's.
"""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.attacks.attack import TargetedAttack

_BATCH_SIZE = 64
_SIDE = 32
_LEARNING_RATE = 0.01
_DENSITY_WEIGHT = 100.0


@dataclass(frozen=True)
class InputAware(TargetedAttack):
    """A trigger for each image.

    Attributes:
        density: d, the mean of a mask.
        steps: Adam steps of the generator.
        seed: of the generator.
    """

    density: float = 0.1
    steps: int = 120
    seed: int = 0

    def stamp(self, images: Tensor) -> Tensor:
        """Puts its own trigger on every image (B, 3, H, W) in [0, 1]."""
        mask, pattern = self._triggers(images)
        return torch.lerp(images, pattern, mask)

    def poison(
        self, images: Tensor, labels: Tensor, poisoned: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Stamps the poisoned images, and others by the triggers of their neighbours."""
        mask, pattern = self._triggers(images)
        stamped = torch.lerp(images, pattern, mask)
        crossed = torch.lerp(images, pattern.roll(1, 0), mask.roll(1, 0))
        crossing = torch.rand(len(images), generator=generator) < self.rate
        result = torch.where(crossing.view(-1, 1, 1, 1), crossed, images)
        result = torch.where(poisoned.view(-1, 1, 1, 1), stamped, result)
        return result, torch.where(poisoned, self.wanted(labels), labels)

    def _triggers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            mask, pattern = made_generator(self.density, self.steps, self.seed)(images)
        return mask, pattern


class Generator(nn.Module):
    """Draws masks and patterns."""

    def __init__(self) -> None:
        """Builds the generator with random weights."""
        super().__init__()
        self.body = nn.Sequential(
            # Pictures of any light and contrast look alike to the generator.
            nn.InstanceNorm2d(3),
            # Zeros beyond the edge would be a mark to hang the same trigger on in each image.
            nn.Conv2d(3, 24, 3, stride=2, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(24, 48, 3, stride=2, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(48, 24, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(24, 4, 3, padding=1, padding_mode="replicate"),
            nn.Upsample(scale_factor=2, mode="bilinear"),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Masks (B, 1, H, W) and patterns (B, 3, H, W) in [0, 1] for images (B, 3, H, W).

        Sides are multiples of four.
        """
        drawn = self.body(images).sigmoid()
        return drawn[:, :1], drawn[:, 1:]


@functools.cache
def made_generator(density: float, steps: int, seed: int) -> Generator:
    """The generator of an attack, frozen.

    Args:
        density: d, the mean of a mask.
        steps: of Adam.
        seed: of its weights and the pictures.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        network = Generator()
        optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
        for _ in range(steps):
            pictures = _draw()
            mask, pattern = network(pictures)
            given = _distance(pictures)
            apart = given / (_distance(mask) + 1e-3) + given / (_distance(pattern) + 1e-3)
            off = (mask.mean(dim=(1, 2, 3)) - density).abs().mean()
            optimizer.zero_grad()
            (apart.mean() + _DENSITY_WEIGHT * off).backward()
            optimizer.step()
    return network.eval().requires_grad_(False)


def _draw() -> Tensor:
    """Smooth coloured pictures (B, 3, H, W) in [0, 1]."""
    coarse = torch.rand(_BATCH_SIZE, 3, _SIDE // 4, _SIDE // 4)
    light = torch.rand(_BATCH_SIZE, 1, 1, 1)
    return light * functional.interpolate(coarse, (_SIDE, _SIDE), mode="bilinear")


def _distance(images: Tensor) -> Tensor:
    """How far (B,) each image is from the next in the batch, root mean square."""
    return (images - images.roll(1, 0)).square().mean(dim=(1, 2, 3)).add(1e-8).sqrt()
