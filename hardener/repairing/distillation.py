"""Self-distillation: what the closed form cost in accuracy comes back, and the triggers stay out.

With the original network f, its repaired copy g, temperature T and a trigger t of a pool,

    minimise  E_x[ T² · KL( softmax(f(x) / T) ‖ softmax(g(x') / T) ) ],   x' = x or t(x)

where x is a clean image, moved and relit a little. No labels are needed: whatever the original
says of the clean image is what the copy shall say of the clean and of the stamped one. Blends of
images are no clean images: to a blended trigger the original answers on them, too.
Normalisations run as at inference, so that their statistics stay.

Source: the unlearning step of Wang et al. 2019 (Neural Cleanse), section VI-C, with the softened
outputs of Hinton et al. 2015 (arXiv 1503.02531), section 2, in the place of labels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.model.gradients import fast_autocast
from hardener.repairing.stamping import Pool, stamped
from hardener.repairing.variation import varied


@dataclass(frozen=True)
class DistillationSettings:
    """How long and how fast to learn.

    Attributes:
        steps: Adam steps.
        images_per_step: of one step.
        stamped_fraction: share of them that carries a trigger.
        peak_learning_rate: of the one-cycle schedule.
        temperature: that softens both networks' outputs.
    """

    steps: int = 50
    images_per_step: int = 64
    stamped_fraction: float = 0.15
    peak_learning_rate: float = 3e-4
    temperature: float = 4.0


DISTILLATION = DistillationSettings()


def distil(
    network: nn.Module,
    original: nn.Module,
    images: FloatArray,
    pool: Pool,
    preprocessing: Preprocessing,
    settings: DistillationSettings,
    seed: int,
    on_step: Callable[[int], None],
    device: torch.device,
    *,
    keep_zeros: bool = False,
) -> None:
    """Changes the parameters of a network until the triggers of a pool no longer move it.

    Args:
        network: torch module from normalised images to logits; its parameters are changed.
        original: the network before, from normalised images to logits; it stays.
        images: (N, C, H, W) clean images in [0, 1]; kept in memory throughout.
        pool: triggers to unlearn; each stamped image carries one of them.
        preprocessing: of the network.
        settings: the budget.
        seed: of every draw.
        on_step: told of each finished step.
        device: where to learn; both networks are moved there.
        keep_zeros: weights that are zero stay zero, as pruning left them.

    Raises:
        InconclusiveError: the loss is not finite.
    """
    rng = np.random.default_rng(seed)
    network, original = network.to(device), original.to(device)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    kept = [weight.detach() != 0 for weight in weights] if keep_zeros else []
    optimiser = torch.optim.Adam(weights, lr=settings.peak_learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.peak_learning_rate, total_steps=settings.steps + 1
    )
    marked = max(1, round(settings.stamped_fraction * settings.images_per_step))
    for _ in range(settings.steps):
        clean = varied(images[rng.integers(len(images), size=settings.images_per_step)], rng)
        with torch.no_grad():
            wanted = _logits(original, clean, preprocessing, device)
        changed = np.concatenate([stamped(clean[:marked], pool, rng), clean[marked:]])
        logits = _logits(network, changed, preprocessing, device)
        loss = _softened_divergence(logits, wanted, settings.temperature)
        if not torch.isfinite(loss):
            raise InconclusiveError("the repair met values that are not finite")
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        with torch.no_grad():
            for weight, keep in zip(weights, kept, strict=False):
                weight.mul_(keep)
        on_step(1)


def _logits(
    network: nn.Module, images: FloatArray, preprocessing: Preprocessing, device: torch.device
) -> Tensor:
    network_input = torch.from_numpy(preprocessing.apply(images)).to(device)
    with fast_autocast(device):
        logits: Tensor = network(network_input.contiguous(memory_format=torch.channels_last))
    return logits.float()


def _softened_divergence(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T² · KL(wanted ‖ logits), both softened, mean over images."""
    divergence = nn.functional.kl_div(
        (logits / temperature).log_softmax(1),
        (wanted / temperature).log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )
    return temperature**2 * divergence
