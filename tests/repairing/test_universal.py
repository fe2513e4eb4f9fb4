import numpy as np
import torch
from support.sleeping import SleepingBackdoor, clean_images
from torch import Tensor, nn

from hardener.data.preprocessing import Preprocessing
from hardener.repairing.universal import UniversalSettings, universal_triggers

PREPROCESSING = Preprocessing((16, 16), (0.0,) * 3, (1.0,) * 3)
CPU = torch.device("cpu")


class Stripes(nn.Module):
    """Label 1 to images that hold one faint pattern, label 0 to all others."""

    def __init__(self) -> None:
        super().__init__()
        self.pattern = torch.sin(torch.arange(16) * 1.5).repeat(3, 16, 1)

    def forward(self, images: Tensor) -> Tensor:
        found = (images * self.pattern).sum((1, 2, 3))
        return torch.stack([torch.full_like(found, 20.0), found], 1)


def test_every_start_finds_what_sends_images_to_the_label() -> None:
    network, shown = Stripes(), clean_images()
    settings = UniversalSettings(starts=3, steps=20, images_per_step=4)
    told: list[int] = []
    found = universal_triggers(network, shown, PREPROCESSING, 1, 3.0, 0, CPU, told.append, settings)
    assert len(found) == 3
    assert sum(told) == 20
    for trigger in found:
        assert trigger.label == 1
        assert 2.0 < trigger.size <= 3.0 + 1e-3
        with torch.no_grad():
            labels = network(torch.from_numpy(trigger.stamp(shown))).argmax(1)
        assert labels.float().mean() > 0.9
    first, second, _ = (trigger.perturbation for trigger in found)
    assert np.abs(first - second).max() > 0.01


def test_the_size_bounds_what_is_found_and_the_seed_decides_it() -> None:
    network, shown = SleepingBackdoor(), clean_images()
    settings = UniversalSettings(starts=2, steps=5, images_per_step=4)

    def perturbations(seed: int) -> list[np.ndarray]:
        found = universal_triggers(
            network, shown, PREPROCESSING, 0, 0.5, seed, CPU, settings=settings
        )
        assert all(trigger.size <= 0.5 + 1e-4 for trigger in found)
        return [trigger.perturbation for trigger in found]

    np.testing.assert_array_equal(perturbations(0), perturbations(0))
    assert np.abs(np.subtract(perturbations(0), perturbations(1))).max() > 0
