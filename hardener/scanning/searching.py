"""The search that every kind of trigger inversion shares: smallest trigger that works, by label.

Per label k, with trigger t that turns an image x into t(x),

    minimise  E_x[ CE(f(t(x)), k) ] + λ_k · ‖t‖

by Adam, all labels of a group in one batch. λ_k grows while the trigger works on nearly every
image and shrinks while it does not, label by label.

Source: Wang et al. 2019 (Neural Cleanse), section IV and equation 3; the batching over labels
is ours.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.model.gradients import fast_autocast
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished

VALUES_PER_STEP = 96 * 3 * 32 * 32
"""Input values in one gradient step.

Small enough that activations stay in the processor's cache and in the allocator's pool: on two
cores 43 labels take a fifth less time so than in one batch.
"""

Values: TypeAlias = tuple[Tensor, ...]
"""What describes the triggers of L labels: tensors whose first axis is the label."""

CPU = torch.device("cpu")


class TriggerKind(Protocol):
    """One kind of trigger: how it is parametrised, applied and measured."""

    def start(
        self, labels: Sequence[int], shape: torch.Size, generator: torch.Generator
    ) -> list[Tensor]:
        """Free parameters of one trigger a label for images (C, H, W), on the processor."""

    def values(self, parameters: Sequence[Tensor]) -> Values:
        """The triggers that parameters stand for."""

    def stamped(self, values: Values, images: Tensor) -> Tensor:
        """Every trigger on every image (B, C, H, W): (L, B, C, H, W)."""

    def sizes(self, values: Values) -> Tensor:
        """(L,) what shall be small."""


@dataclass(frozen=True)
class InversionSettings:
    """How long and how hard to search.

    Attributes:
        steps: Adam steps a label.
        images_per_step: clean images that every label sees in one step.
        learning_rate: of Adam, on the free parameters.
        initial_cost: λ at the first step.
        cost_factor: by how much λ changes when it does.
        wanted_success: success rate above which λ grows.
        memory: weight of the past in the running success rate.
        values_at_once: input values in one gradient step; more labels than fit are searched group
            by group.
        tried_images: at most so many images tell whether a patch works.
    """

    steps: int = 80
    images_per_step: int = 8
    learning_rate: float = 0.3
    initial_cost: float = 0.01
    cost_factor: float = 1.2
    wanted_success: float = 0.97
    memory: float = 0.65
    values_at_once: int = VALUES_PER_STEP
    tried_images: int = 128


def search(
    kind: TriggerKind,
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None],
    device: torch.device,
    kept: Unfinished = NOTHING_KEPT,
) -> list[tuple[FloatArray, ...]]:
    """Searches one trigger for each label.

    Args:
        kind: of trigger.
        network: torch module from normalised images to logits, weights frozen.
        images: (N, C, H, W) clean images in [0, 1]; kept in memory throughout.
        preprocessing: of the network.
        labels: whose triggers to search.
        settings: the budget.
        seed: of the order of images and the starting points.
        on_step: told how many label-steps just finished.
        device: where to search; the network is moved there.
        kept: where finished groups are kept, and those of an interrupted run lie.

    Returns:
        The arrays that describe one trigger a label, in order.

    Raises:
        InconclusiveError: the search met values that are not finite.
    """
    per_label = settings.images_per_step * images[0].size
    group = max(1, settings.values_at_once // per_label)
    network, pool = network.to(device), torch.from_numpy(images).to(device)
    found: list[tuple[FloatArray, ...]] = []
    for start in range(0, len(labels), group):
        some = labels[start : start + group]
        made = partial(
            _search_group, kind, network, pool, preprocessing, some, settings, seed, on_step
        )
        values, from_earlier_run = kept.piece(some, _forms(kind, some, pool), made)
        if from_earlier_run:
            on_step(settings.steps * len(some))
        found += zip(*values, strict=True)
    return found


def _forms(kind: TriggerKind, labels: Sequence[int], pool: Tensor) -> list[tuple[int, ...]]:
    """The shapes of the arrays that describe so many triggers."""
    start = kind.start(labels, pool.shape[1:], torch.Generator())
    return [tuple(part.shape) for part in kind.values(start)]


def _search_group(
    kind: TriggerKind,
    network: nn.Module,
    pool: Tensor,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None],
) -> tuple[FloatArray, ...]:
    # Random numbers come from the processor, so that every device starts alike.
    generator, device = torch.Generator().manual_seed(seed), pool.device
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    count = len(labels)
    parameters = [
        start.to(device).requires_grad_() for start in kind.start(labels, pool.shape[1:], generator)
    ]
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, betas=(0.5, 0.9))
    wanted = torch.tensor(labels, device=device)
    cost = torch.full((count,), settings.initial_cost, device=device)
    success = torch.zeros(count, device=device)
    best = _Best.start(kind.values(parameters))

    for _ in range(settings.steps):
        chosen = torch.randint(len(pool), (settings.images_per_step,), generator=generator).to(
            device
        )
        values = kind.values(parameters)
        network_input = ((kind.stamped(values, pool[chosen]) - mean) / std).flatten(0, 1)
        with fast_autocast(device):
            logits = network(network_input.contiguous(memory_format=torch.channels_last))
        per_image = logits.float().view(count, settings.images_per_step, -1)
        goal = wanted[:, None].expand(-1, settings.images_per_step)
        loss = nn.functional.cross_entropy(
            per_image.flatten(0, 1), goal.flatten(), reduction="none"
        ).view(count, -1)
        size = kind.sizes(values)
        total = (loss.mean(1) + cost * size).sum()
        if not torch.isfinite(total):
            raise InconclusiveError("trigger inversion met values that are not finite")
        with torch.no_grad():
            hit = (per_image.argmax(2) == goal).float().mean(1)
            success = settings.memory * success + (1 - settings.memory) * hit
            works = success >= settings.wanted_success
            best = best.improved(works, size, values)
            cost = cost * torch.where(works, settings.cost_factor, 1 / settings.cost_factor)
        optimiser.zero_grad()
        torch.autograd.backward(total)
        optimiser.step()
        on_step(count)
    with torch.no_grad():
        return tuple(part.cpu().numpy() for part in best.or_else(kind.values(parameters)))


@dataclass(frozen=True, eq=False)
class _Best:
    """The smallest working trigger of each label so far."""

    size: Tensor
    values: Values

    @classmethod
    def start(cls, values: Values) -> "_Best":
        nothing = torch.full((len(values[0]),), torch.inf, device=values[0].device)
        return cls(nothing, tuple(part.detach() for part in values))

    def improved(self, works: Tensor, size: Tensor, values: Values) -> "_Best":
        better = works & (size < self.size)
        return _Best(torch.where(better, size, self.size), _where(better, values, self.values))

    def or_else(self, values: Values) -> Values:
        """The best, or what is given for labels where nothing worked."""
        return _where(torch.isinf(self.size), values, self.values)


def _where(chosen: Tensor, values: Values, others: Values) -> Values:
    return tuple(
        torch.where(chosen.view(-1, *[1] * (value.dim() - 1)), value, other)
        for value, other in zip(values, others, strict=True)
    )
