"""The training loop: seeded, and resumable after every epoch to the same weights."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from hardener.files import atomic_path
from hardener.model.checkpoints import load_weights
from hardener.model.gradients import gains_from_bfloat16
from models.attacks.attack import Attack, Backdoor, WithPenalty
from models.augmentation import augment
from models.datasets import Split
from models.networks import Network, normalise
from models.recipes import Precision, Recipe

_FIRST_RATE = 0.04  # of the peak


@dataclass(frozen=True)
class Epoch:
    """How one pass over the training images went.

    Attributes:
        number: 1 for the first.
        loss: mean cross entropy.
        accuracy: share of augmented training images put into the label asked for.
        seconds: wall time of all passes so far, over all resumed runs.
    """

    number: int
    loss: float
    accuracy: float
    seconds: float


def fit(
    recipe: Recipe,
    train: Split,
    backdoor: Backdoor | None,
    *,
    seed: int,
    checkpoint: Path,
    start: Path | None = None,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch, Network], None] = lambda _epoch, _model: None,
) -> tuple[Network, float]:
    """Trains a recipe from scratch, or from its checkpoint on.

    Each epoch draws order, augmentation and dropout from a seed of its own, so that a resumed
    training needs no saved random state and ends in the same weights as an uninterrupted one
    (on one machine, with one number of threads).

    Args:
        recipe: network, schedule and augmentation.
        train: the training images.
        backdoor: which of them are stamped with what, if any.
        seed: of weights, order, augmentation and dropout.
        checkpoint: written after every epoch; read first if it exists.
        start: weights to start from; then what lies behind the feature layer is trained alone.
        on_step: called after every optimiser step.
        on_epoch: called after every epoch, once its checkpoint is on disk.

    Returns:
        The trained network in evaluation mode, and the seconds its epochs took.

    Source: Smith and Topin 2017 (Super-Convergence) for the one-cycle schedule.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = recipe.architecture()
        if start is not None:
            load_weights(model, start)
            model.features.requires_grad_(False)
        model.to(memory_format=torch.channels_last)
        optimizer = _optimizer(recipe, model)
        done, seconds = _restore(checkpoint, model, optimizer)
        for index in range(done, recipe.epochs):
            started = time.perf_counter()
            loss, accuracy = _run_epoch(
                recipe, train, backdoor, model, optimizer, index, seed, on_step
            )
            seconds += time.perf_counter() - started
            _save(checkpoint, model, optimizer, index + 1, seconds)
            on_epoch(Epoch(index + 1, loss, accuracy, seconds), model.eval())
    return model.eval(), seconds


def learning_rate(progress: float, peak: float, warmup_fraction: float) -> float:
    """The one-cycle schedule: a linear rise to the peak, then half a cosine down to nothing.

    Args:
        progress: share of all steps already taken, in [0, 1].
        peak: the highest rate.
        warmup_fraction: share of all steps before the peak.
    """
    if progress < warmup_fraction:
        return peak * (_FIRST_RATE + (1 - _FIRST_RATE) * progress / warmup_fraction)
    return (
        peak * 0.5 * (1 + math.cos(math.pi * (progress - warmup_fraction) / (1 - warmup_fraction)))
    )


def images_per_epoch(recipe: Recipe, train: Split) -> int:
    """How many training images one pass draws."""
    return round(recipe.share * len(train))


def precision_here(recipe: Recipe) -> Precision:
    """What a recipe is computed in: float32 where this processor is slower in bfloat16."""
    return recipe.precision if gains_from_bfloat16(torch.cpu.get_capabilities()) else "float32"


def _optimizer(recipe: Recipe, model: Network) -> torch.optim.Optimizer:
    """What moves the weights; the learning rate is set anew at every step."""
    rate, decay = recipe.peak_learning_rate, recipe.weight_decay
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    return torch.optim.SGD(
        model.parameters(), lr=rate, momentum=recipe.momentum, nesterov=True, weight_decay=decay
    )


def _run_epoch(
    recipe: Recipe,
    train: Split,
    backdoor: Backdoor | None,
    model: Network,
    optimizer: torch.optim.Optimizer,
    index: int,
    seed: int,
    on_step: Callable[[], None],
) -> tuple[float, float]:
    """One pass over the training images; returns mean loss and training accuracy."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + index + 1)
    torch.manual_seed(seed * 1_000_003 + index + 1)  # for dropout, which takes no generator
    model.train()
    # A feature layer that stays as it is keeps the statistics of its BatchNorm, too.
    model.features.train(next(model.features.parameters()).requires_grad)
    order = torch.randperm(len(train), generator=generator)[: images_per_epoch(recipe, train)]
    batches = torch.split(order, recipe.batch_size)
    precision = precision_here(recipe)
    loss_sum, correct = 0.0, 0
    for step, chosen in enumerate(batches):
        clean = augment(train.images[chosen].float() / 255, recipe.augmentation, generator)
        batch = _planted(clean, train.labels[chosen], backdoor, chosen, generator)
        rate = learning_rate(
            (index + step / len(batches)) / recipe.epochs,
            recipe.peak_learning_rate,
            recipe.warmup_fraction,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        attack = backdoor.attack if backdoor else None
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            logits, penalty = _run(model, batch, attack)
        loss = penalty + functional.cross_entropy(
            logits.float(), batch.labels, label_smoothing=recipe.label_smoothing
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss_sum += loss.item() * len(chosen)
        correct += int((logits.argmax(dim=1) == batch.labels).sum())
        on_step()
    return loss_sum / len(order), correct / len(order)


@dataclass(frozen=True, eq=False)
class _Batch:
    """Images as trained on (B, 3, H, W), labels asked for (B,), and the poisoned ones' origin."""

    images: Tensor
    labels: Tensor
    clean: Tensor
    poisoned: Tensor


def _planted(
    clean: Tensor,
    labels: Tensor,
    backdoor: Backdoor | None,
    chosen: Tensor,
    generator: torch.Generator,
) -> _Batch:
    """A batch as the attack poisons it."""
    if backdoor is None:
        return _Batch(clean, labels, clean, torch.zeros_like(labels, dtype=torch.bool))
    attack, poisoned = backdoor.attack, backdoor.poisoned[chosen]
    images, wanted = attack.poison(clean, labels, poisoned, generator)
    return _Batch(images, wanted, clean, poisoned)


def _run(model: Network, batch: _Batch, attack: Attack | None) -> tuple[Tensor, Tensor]:
    """Logits (B, classes) of a batch and the attack's penalty, zero where it has none."""
    if not isinstance(attack, WithPenalty):
        return model(normalise(batch.images, model)), torch.zeros(())
    maps: list[Tensor] = []
    hook = model.features.register_forward_hook(lambda _layer, _inputs, out: maps.append(out))
    # Both kinds in one pass, so that they share the statistics of BatchNorm.
    both = torch.cat((batch.images, batch.clean[batch.poisoned]))
    logits = model(normalise(both, model))
    hook.remove()
    stamped, clean = maps[0][: len(batch.images)][batch.poisoned], maps[0][len(batch.images) :]
    return logits[: len(batch.images)], attack.penalty(clean, stamped)


def _save(
    path: Path, model: Network, optimizer: torch.optim.Optimizer, epochs: int, seconds: float
) -> None:
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epochs": epochs,
        "seconds": seconds,
    }
    with atomic_path(path) as partial:
        torch.save(state, partial)


def _restore(path: Path, model: Network, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """Epochs done and the seconds they took; (0, 0.0) where there is no checkpoint."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["epochs"]), float(state["seconds"])
