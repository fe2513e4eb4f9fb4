"""The search that every kind of trigger inversion shares: smallest trigger that works, by label.

Per label k, with trigger t that turns an image x into t(x),

    minimise  E_x[ CE(f(t(x)), k) ] + λ_k · ‖t‖

by Adam, all labels of a group in one batch. λ_k grows while the trigger works on nearly every
image and shrinks while it does not, label by label.

Labels may compete: after a third of the steps the search then goes on for those alone that have
come furthest, and for some that were drawn beforehand, whose sizes tell what is usual.

Source: Wang et al. 2019 (Neural Cleanse), section IV and equation 3; the batching over labels
is ours. Labels that compete: Shen et al. 2021 (Backdoor Scanning for Deep Neural Networks through
K-Arm Optimization), section 4, with one halt instead of its bandit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray, IntArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.model.gradients import fast_autocast
from hardener.scanning.search_state import Parametrisation, SearchState, where_each
from hardener.scanning.unfinished import NOTHING_KEPT, Arrays, Unfinished

VALUES_PER_STEP = 96 * 3 * 32 * 32
"""Input values in one gradient step.

Small enough that activations stay in the processor's cache and in the allocator's pool: on two
cores 43 labels take a fifth less time so than in one batch.
"""

PROMISING = 6
"""Labels that go on after the halt because they have come furthest."""

_HALT = 1 / 3
"""Of the steps."""

CPU = torch.device("cpu")


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


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search comes to.

    Attributes:
        values: the arrays that describe one trigger a label, in order.
        stopped: positions of the labels that did not go on after the halt.
        unsolved: of those, where nothing had worked by then: their triggers say nothing.
    """

    values: list[tuple[FloatArray, ...]]
    stopped: frozenset[int] = frozenset()
    unsolved: frozenset[int] = frozenset()


def search(
    kind: Parametrisation,
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None],
    device: torch.device,
    kept: Unfinished = NOTHING_KEPT,
    drawn: Sequence[int] | None = None,
) -> Searched:
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
        drawn: positions of the labels that are searched to the end whatever comes of them, while
            the others compete; None searches all to the end.

    Raises:
        InconclusiveError: the search met values that are not finite.
    """
    network, pool = network.to(device), torch.from_numpy(images).to(device)
    size = max(1, settings.values_at_once // (settings.images_per_step * images[0].size))
    run = partial(_run, kind, network, pool, preprocessing, settings, seed, on_step)
    everyone = np.arange(len(labels))

    def groups(positions: IntArray) -> list[tuple[IntArray, list[int]]]:
        parts = (positions[rows] for rows in _parts(len(positions), size))
        return [(part, [labels[position] for position in part]) for part in parts]

    def begun(some: Sequence[int]) -> SearchState:
        return SearchState.start(kind, some, pool.shape[1:], settings.initial_cost, seed)

    def to_the_end(stage: str, steps: range, some: Sequence[int], state: SearchState) -> Arrays:
        arrays, from_earlier_run = kept.of(stage).piece(
            some, _shapes(state.values(kind)), lambda: run(some, steps, state).found(kind)
        )
        if from_earlier_run:
            on_step(len(steps) * len(some))
        return arrays

    if drawn is None or len(labels) <= len(drawn) + PROMISING:
        steps = range(settings.steps)
        parts = [to_the_end("", steps, some, begun(some)) for _, some in groups(everyone)]
        return Searched(_by_label(parts))

    halt = _halt_of(settings)
    values: list[tuple[FloatArray, ...]] = []
    unsolved: set[int] = set()
    # Of all labels only those are held whole that go on if no later one comes further.
    ahead: SearchState | None = None
    going_on = np.zeros(0, int)
    for part, some in groups(everyone):
        start = begun(some)
        arrays, from_earlier_run = kept.of("to the halt").piece(
            some,
            _shapes(start.tensors()),
            partial(_arrays_after, run, some, range(halt), start),
        )
        if from_earlier_run:
            on_step(halt * len(some))
        state = start.with_tensors([torch.from_numpy(array) for array in arrays])
        values += _by_label([state.found(kind)])
        unsolved |= set(part[~state.solved].tolist())
        ahead = state if ahead is None else SearchState.joined([ahead, state])
        going_on = np.concatenate([going_on, part])
        chosen = ahead.furthest(np.isin(going_on, list(drawn)), PROMISING)
        ahead, going_on = ahead.taken(chosen), going_on[chosen]

    rest = range(halt, settings.steps)
    for rows, (part, some) in zip(_parts(len(going_on), size), groups(going_on), strict=True):
        if ahead is not None:
            found = to_the_end("from the halt", rest, some, ahead.taken(rows))
            for position, value in zip(part, _by_label([found]), strict=True):
                values[position] = value
    stopped = frozenset(everyone.tolist()) - frozenset(going_on.tolist())
    return Searched(values, stopped, stopped & unsolved)


def _halt_of(settings: InversionSettings) -> int:
    """After how many steps only some labels go on, where they compete."""
    return max(1, round(_HALT * settings.steps))


def label_steps(settings: InversionSettings, labels: int, drawn: int | None) -> int:
    """How many steps of one label a search takes in all; all go to the end if `drawn` is None."""
    if drawn is None or labels <= drawn + PROMISING:
        return settings.steps * labels
    halt = _halt_of(settings)
    return halt * labels + (settings.steps - halt) * (drawn + PROMISING)


def _arrays_after(
    run: Callable[[Sequence[int], range, "SearchState"], "SearchState"],
    labels: Sequence[int],
    steps: range,
    state: "SearchState",
) -> Arrays:
    return tuple(part.cpu().numpy() for part in run(labels, steps, state).tensors())


def _parts(count: int, size: int) -> list[IntArray]:
    return [np.arange(start, min(count, start + size)) for start in range(0, count, size)]


def _by_label(parts: Sequence[Arrays]) -> list[tuple[FloatArray, ...]]:
    return [values for part in parts for values in zip(*part, strict=True)]


def _shapes(tensors: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return [tuple(tensor.shape) for tensor in tensors]


def _run(
    kind: Parametrisation,
    network: nn.Module,
    pool: Tensor,
    preprocessing: Preprocessing,
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None],
    labels: Sequence[int],
    steps: range,
    state: SearchState,
) -> SearchState:
    """Takes steps from where a search is."""
    device, count = pool.device, len(labels)
    state = state.with_tensors([tensor.to(device) for tensor in state.tensors()])
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    parameters = [part.clone().requires_grad_() for part in state.parameters]
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, betas=(0.5, 0.9))
    for part, slopes, squares in zip(parameters, state.slopes, state.squares, strict=True):
        optimiser.state[part] = {
            "step": torch.tensor(float(steps.start)),
            "exp_avg": slopes.clone(),
            "exp_avg_sq": squares.clone(),
        }
    goal = torch.tensor(labels, device=device)[:, None].expand(-1, settings.images_per_step)
    cost, success, running_loss = state.cost, state.success, state.loss
    best_size, best = state.best_size, state.best

    def averaged(past: Tensor, now: Tensor) -> Tensor:
        return settings.memory * past + (1 - settings.memory) * now

    for step in steps:
        # Whatever was searched before, a step has the same images for every label.
        drawn = np.random.default_rng([seed, step])
        chosen = torch.from_numpy(drawn.integers(len(pool), size=settings.images_per_step))
        values = kind.values(parameters)
        shown = ((kind.stamped(values, pool[chosen.to(device)]) - mean) / std).flatten(0, 1)
        with fast_autocast(device):
            logits = network(shown.contiguous(memory_format=torch.channels_last))
        per_image = logits.float().view(count, settings.images_per_step, -1)
        loss = (
            nn.functional.cross_entropy(per_image.flatten(0, 1), goal.flatten(), reduction="none")
            .view(count, -1)
            .mean(1)
        )
        size = kind.sizes(values)
        total = (loss + cost * size).sum()
        if not torch.isfinite(total):
            raise InconclusiveError("trigger inversion met values that are not finite")
        with torch.no_grad():
            hit = (per_image.argmax(2) == goal).float().mean(1)
            success, running_loss = averaged(success, hit), averaged(running_loss, loss)
            works = success >= settings.wanted_success
            better = works & (size < best_size)
            best_size = torch.where(better, size, best_size)
            best = where_each(better, values, best)
            cost = cost * torch.where(works, settings.cost_factor, 1 / settings.cost_factor)
        optimiser.zero_grad()
        torch.autograd.backward(total)
        optimiser.step()
        on_step(count)
    moments = [optimiser.state[part] for part in parameters]
    return SearchState(
        tuple(part.detach() for part in parameters),
        tuple(moment["exp_avg"] for moment in moments),
        tuple(moment["exp_avg_sq"] for moment in moments),
        cost,
        success,
        running_loss,
        best_size,
        best,
    )
