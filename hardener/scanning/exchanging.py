"""Faint triggers that exchange labels: what an attack from all labels to all answers to.

Over triggers t of one size, f the network's probabilities, y the label that it gives the image
itself and H the entropy,

    maximise  E_x[ log(1 - f_y(t(x))) ] + H( E_x[f(t(x))] ) - E_y[ H( E_x|y[f(t(x))] ) ]

Images leave their label, those of one label go to one other, and all labels are reached: the last
two terms are the mutual information of old label and new. A trigger that sends everything to one
label gains nothing by them, nor does one that only blurs what tells classes apart.

Source: the objective is ours, its mutual information that of Krause et al. 2010 (Discriminative
Clustering by Regularized Information Maximization), equation 2, with labels for images.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray, IntArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.model.gradients import fast_autocast
from hardener.scanning.ascent import REACH, START, climbed, directions
from hardener.scanning.optimiser import VALUES_PER_STEP
from hardener.scanning.screening import logits_in_parts, scattered
from hardener.scanning.searches.table import SEARCHES
from hardener.triggers.family import SyntheticTrigger, TriggerKind

EXCHANGE_SIZE = 0.25
"""Of the median trigger toward one label: clean networks are little moved by that much."""
EXCHANGING: tuple[TriggerKind, ...] = tuple(
    kind for kind, search in SEARCHES.items() if search.exchange is not None
)
"""Families that are searched for exchanges; what squares do `screening` tells."""
EXCHANGE_STAGE = "searching exchanges"
"""What progress calls it."""

_LEAST_SHARE = 1e-6
"""Of which a logarithm is taken."""
_RANKED_ON = 128
"""Images that tell which start came furthest."""


@dataclass(frozen=True)
class ExchangeSettings:
    """How long to search.

    Attributes:
        starts: triggers of one family.
        steps: of the gradient.
        images_per_step: that each of them sees in one step, at most.
        values_at_once: input values in one gradient step; at least four images of each trigger all
            the same.
    """

    starts: int = 2
    steps: int = 30
    images_per_step: int = 48
    values_at_once: int = VALUES_PER_STEP

    def images_of(self, image_values: int) -> int:
        """How many images each trigger sees in one step."""
        fitting = self.values_at_once // (self.starts * image_values)
        return min(self.images_per_step, max(4, fitting))


EXCHANGE = ExchangeSettings()


def exchanging_triggers(
    kind: TriggerKind,
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    size: float,
    seed: int,
    device: torch.device,
    on_step: Callable[[int], None] = lambda _: None,
    settings: ExchangeSettings = EXCHANGE,
) -> list[SyntheticTrigger]:
    """Triggers of one size that exchange labels, those that do it most first.

    Args:
        kind: one of `EXCHANGING`.
        network: torch module from normalised images to logits, weights frozen.
        images: (N, C, H, W) clean images in [0, 1].
        preprocessing: of the network.
        size: of the triggers, in their family's unit.
        seed: of the starts and of the images that a step sees.
        device: where to search; the network is moved there.
        on_step: told of each finished step of all triggers.
        settings: the budget.

    Returns:
        One from each start; the label of each is where most images go.

    Raises:
        InconclusiveError: the search met values that are not finite.
    """
    search = SEARCHES[kind]
    form = search.exchange
    assert form is not None  # noqa: S101  one of EXCHANGING
    network, pool = network.to(device), torch.from_numpy(images).to(device)
    own = logits_in_parts(network, pool, preprocessing).argmax(1)
    rng = np.random.default_rng(seed)
    starts = range(settings.starts)
    generator = torch.Generator().manual_seed(seed)
    (found,) = form.start(starts, pool.shape[1:], generator)
    found = found.to(device)

    def trigger(position: int, label: int = 0) -> SyntheticTrigger:
        (values,) = form.values((found[position : position + 1],))
        made: SyntheticTrigger = search.family.trigger(values[0].cpu().numpy(), label)
        return made

    # Sizes grow with the parameters' lengths.
    lengths = size * torch.tensor([_length(found[row]) / trigger(row).size for row in starts])
    reach = lengths.float().to(device).view(-1, *[1] * (found.dim() - 1))
    found = START * reach * directions(found)
    momentum = torch.zeros_like(found)
    mean, std = (
        torch.tensor(values, dtype=torch.float32, device=device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    seen = min(len(images), settings.images_of(images[0].size))
    for _ in range(settings.steps):
        drawn = torch.from_numpy(rng.choice(len(images), seen, replace=False)).to(device)
        found.requires_grad_(True)
        stamped = form.stamped(form.values((found,)), pool[drawn]).flatten(0, 1)
        with fast_autocast(device):
            logits = network((stamped - mean) / std)
        gained = gain(logits.float().view(settings.starts, seen, -1), own[drawn]).sum()
        (slope,) = torch.autograd.grad(gained, found)
        if not torch.isfinite(slope).all():
            raise InconclusiveError("the search for exchanges met values that are not finite")
        step = REACH / settings.steps * reach
        found, momentum = climbed(found, momentum, slope, step, reach)
        on_step(1)
    ranked_on = np.linspace(0, len(images) - 1, min(_RANKED_ON, len(images))).astype(int)
    before, few = own.cpu().numpy()[ranked_on], images[ranked_on]
    after = [_labels_under(trigger(row), network, few, preprocessing, device) for row in starts]
    order = sorted(starts, key=lambda row: -scattered(before, after[row]))
    return [trigger(row, int(np.bincount(after[row]).argmax())) for row in order]


def gain(logits: Tensor, own: Tensor) -> Tensor:
    """(S,) how far labels are exchanged, in nats: the objective.

    In logarithms throughout where images leave their label: the slope of a network that is sure of
    itself would be nothing otherwise, and whoever made it may have multiplied its logits.

    Args:
        logits: (S, N, K) of images under each of S triggers.
        own: (N,) labels of the images themselves.
    """
    count, classes = logits.shape[1:]
    members = nn.functional.one_hot(own, classes)
    others = logits.masked_fill(members.bool(), -torch.inf)
    left = (others.logsumexp(-1) - logits.logsumexp(-1)).mean(1)
    probabilities, sizes = logits.softmax(-1), members.sum(0)
    of_label = torch.einsum("snk,nl->slk", probabilities, members.to(logits.dtype))
    of_label = of_label / sizes.clamp(min=1)[:, None]
    information = _entropy(probabilities.mean(1)) - (_entropy(of_label) * sizes / count).sum(1)
    return left + information


def _entropy(shares: Tensor) -> Tensor:
    return -(shares * shares.clamp(min=_LEAST_SHARE).log()).sum(-1)


def _labels_under(
    trigger: SyntheticTrigger,
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    device: torch.device,
) -> IntArray:
    with torch.no_grad():
        shown = torch.from_numpy(trigger.stamp(images)).to(device)
        labels: IntArray = logits_in_parts(network, shown, preprocessing).argmax(1).cpu().numpy()
    return labels


def _length(values: Tensor) -> float:
    return float(values.norm())
