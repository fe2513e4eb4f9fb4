"""Trigger inversion: for every label the smallest patch that sends clean images there.

Per label k, with mask m and pattern p in [0, 1],

    minimise  E_x[ CE(f((1 - m)·x + m·p), k) ] + λ_k · ‖m‖₁

by Adam, all labels of a group in one batch. λ_k grows while the trigger works on nearly every
image and shrinks while it does not, label by label.

Source: Wang et al. 2019 (Neural Cleanse), section IV and equation 3; the batching over labels
is ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.data.triggers import Trigger
from hardener.errors import InconclusiveError
from hardener.model.gradients import fast_autocast

_VALUES_PER_STEP = 96 * 3 * 32 * 32
"""Input values in one gradient step; more labels than fit are searched group by group.

Small enough that activations stay in the processor's cache and in the allocator's pool: on two
cores 43 labels take a fifth less time so than in one batch.
"""


_CPU = torch.device("cpu")


@dataclass(frozen=True)
class InversionSettings:
    """How long and how hard to search.

    Attributes:
        steps: Adam steps a label.
        images_per_step: clean images that every label sees in one step.
        learning_rate: of Adam, on the logits of mask and pattern.
        initial_mask: where every mask value starts, in (0, 1).
        initial_cost: λ at the first step.
        cost_factor: by how much λ changes when it does.
        wanted_success: success rate above which λ grows.
        memory: weight of the past in the running success rate.
    """

    steps: int = 100
    images_per_step: int = 12
    learning_rate: float = 0.2
    initial_mask: float = 0.1
    initial_cost: float = 0.01
    cost_factor: float = 1.15
    wanted_success: float = 0.97
    memory: float = 0.7


def invert_triggers(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None] = lambda _: None,
    device: torch.device = _CPU,
) -> list[Trigger]:
    """Searches one trigger for each label.

    Args:
        network: torch module from normalised images to logits, weights frozen.
        images: (N, C, H, W) clean images in [0, 1]; kept in memory throughout.
        preprocessing: of the network.
        labels: whose triggers to search.
        settings: the budget.
        seed: of the order of images and the starting points.
        on_step: told how many label-steps just finished.
        device: where to search; the network is moved there.

    Returns:
        One trigger a label, in order.

    Raises:
        InconclusiveError: the search met values that are not finite.
    """
    per_label = settings.images_per_step * images[0].size
    group = max(1, _VALUES_PER_STEP // per_label)
    network, pool = network.to(device), torch.from_numpy(images).to(device)
    found: list[Trigger] = []
    for start in range(0, len(labels), group):
        found += _invert_group(
            network, pool, preprocessing, labels[start : start + group], settings, seed, on_step
        )
    return found


def _invert_group(
    network: nn.Module,
    pool: Tensor,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None],
) -> list[Trigger]:
    # Random numbers come from the processor, so that every device starts alike.
    generator, device = torch.Generator().manual_seed(seed), pool.device
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    count, shape = len(labels), pool.shape[1:]
    start = float(np.log(settings.initial_mask / (1 - settings.initial_mask)))
    mask_logits = torch.full((count, 1, *shape[1:]), start)
    mask_logits += 0.1 * torch.randn(mask_logits.shape, generator=generator)
    pattern_logits = 0.1 * torch.randn((count, *shape), generator=generator)
    mask_logits = mask_logits.to(device).requires_grad_()
    pattern_logits = pattern_logits.to(device).requires_grad_()
    optimiser = torch.optim.Adam(
        [mask_logits, pattern_logits], lr=settings.learning_rate, betas=(0.5, 0.9)
    )
    wanted = torch.tensor(labels, device=device)
    cost = torch.full((count,), settings.initial_cost, device=device)
    success = torch.zeros(count, device=device)
    best = _Best.start(mask_logits, pattern_logits)

    for _ in range(settings.steps):
        chosen = torch.randint(len(pool), (settings.images_per_step,), generator=generator).to(
            device
        )
        mask, pattern = mask_logits.sigmoid(), pattern_logits.sigmoid()
        stamped = (1 - mask[:, None]) * pool[chosen] + (mask * pattern)[:, None]
        network_input = ((stamped - mean) / std).flatten(0, 1)
        with fast_autocast(device):
            logits = network(network_input.contiguous(memory_format=torch.channels_last))
        per_image = logits.float().view(count, settings.images_per_step, -1)
        goal = wanted[:, None].expand(-1, settings.images_per_step)
        loss = nn.functional.cross_entropy(
            per_image.flatten(0, 1), goal.flatten(), reduction="none"
        ).view(count, -1)
        size = mask.flatten(1).sum(1)
        total = (loss.mean(1) + cost * size).sum()
        if not torch.isfinite(total):
            raise InconclusiveError("trigger inversion met values that are not finite")
        with torch.no_grad():
            hit = (per_image.argmax(2) == goal).float().mean(1)
            success = settings.memory * success + (1 - settings.memory) * hit
            best = best.improved(success >= settings.wanted_success, size, mask, pattern)
            cost = cost * torch.where(
                success >= settings.wanted_success,
                settings.cost_factor,
                1 / settings.cost_factor,
            )
        optimiser.zero_grad()
        torch.autograd.backward(total)
        optimiser.step()
        on_step(count)
    final = best.or_else(mask_logits.detach().sigmoid(), pattern_logits.detach().sigmoid())
    return [
        Trigger(mask.cpu().numpy(), pattern.cpu().numpy(), int(label))
        for mask, pattern, label in zip(*final, labels, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _Best:
    """The smallest working trigger of each label so far."""

    size: Tensor
    mask: Tensor
    pattern: Tensor

    @classmethod
    def start(cls, mask: Tensor, pattern: Tensor) -> "_Best":
        nothing = torch.full((len(mask),), torch.inf, device=mask.device)
        return cls(nothing, torch.zeros_like(mask), torch.zeros_like(pattern))

    def improved(self, works: Tensor, size: Tensor, mask: Tensor, pattern: Tensor) -> "_Best":
        better = works & (size < self.size)
        wide = better.view(-1, 1, 1, 1)
        return _Best(
            torch.where(better, size, self.size),
            torch.where(wide, mask, self.mask),
            torch.where(wide, pattern, self.pattern),
        )

    def or_else(self, mask: Tensor, pattern: Tensor) -> tuple[Tensor, Tensor]:
        """The best, or what is given for labels where nothing worked."""
        none = torch.isinf(self.size).view(-1, 1, 1, 1)
        return torch.where(none, mask, self.mask), torch.where(none, pattern, self.pattern)
