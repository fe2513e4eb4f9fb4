"""The short search in which all labels compete for a search in full.

Of each label one trigger of limited strength is searched that is at once a change of the whole
image, a warp and a solid square, since a gradient costs the same for one of them and for all three:

    t(x) = clip(square(warp_d(x)) + δ, 0, 1),   ‖δ‖₂ ≤ ε·√(C·H·W),   rms d ≤ r

In each step δ and d go a fixed way along their normalised gradients, and the square goes where its
gain is largest to first order. What counts is how far a label's log-probability comes, in the mean
over the images. The most promising labels go on to a longer round.
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
from hardener.scanning.planning import Round
from hardener.scanning.screening import SQUARE_FRACTION
from hardener.scanning.searches.warps import Warps
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished

_CHANGE = 0.03
"""ε: root mean square of the change of the whole image."""

_DISPLACEMENT = 0.04
"""r: root mean square of the displacements, as a fraction of the image's side."""

_WARPS = Warps()


def order_of_promise(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    rounds: Sequence[Round],
    seed: int,
    on_step: Callable[[int], None],
    device: torch.device,
    values_at_once: int,
    kept: Unfinished = NOTHING_KEPT,
) -> IntArray:
    """Labels as they come out of a short search, most promising first.

    Args:
        network: torch module from normalised images to logits, weights frozen.
        images: (N, C, H, W) clean images in [0, 1].
        preprocessing: of the network.
        labels: (L,) which labels compete.
        rounds: of the search; all labels take part in the first.
        seed: of the choice of images.
        on_step: told how many label-steps just finished.
        device: where to search; the network is moved there.
        values_at_once: input values in one gradient step.
        kept: where finished groups are kept, and those of an interrupted run lie.

    Returns:
        (L,) positions in `labels`. Those that take part in a later round come before the others.

    Raises:
        InconclusiveError: the search met values that are not finite.
    """
    order = np.arange(len(labels))
    network = network.to(device)
    for number, turn in enumerate(rounds):
        some = np.sort(order[: turn.labels])
        # Other images than in the rounds before, so that chance does not help a label twice.
        chosen = np.random.default_rng([seed, number]).permutation(len(images))[: turn.images]
        pool = torch.from_numpy(images[chosen]).to(device)
        group = max(1, values_at_once // pool.numel())
        scores: list[FloatArray] = []
        for start in range(0, len(some), group):
            these = [labels[position] for position in some[start : start + group]]
            made = partial(_scores, network, pool, preprocessing, these, turn.steps, on_step)
            (found,), from_earlier_run = kept.of(f"round {number}", turn=turn).piece(
                these, [(len(these),)], made
            )
            if from_earlier_run:
                on_step(turn.steps * len(these))
            scores.append(found)
        best_first = some[np.argsort(-np.concatenate(scores), kind="stable")]
        order = np.concatenate([best_first, order[turn.labels :]])
    return order


@dataclass(frozen=True, eq=False)
class _Trigger:
    """Triggers of L labels.

    Attributes:
        change: (L, C, H, W), δ.
        warp: (L, 2, G, G), d in the units of `Warps`.
        mask: (L, 1, H, W) of the squares, 0 or 1.
        colour: (L, C, H, W) of the squares, 0 or 1.
    """

    change: Tensor
    warp: Tensor
    mask: Tensor
    colour: Tensor

    @classmethod
    def none(cls, labels: int, shape: torch.Size, device: torch.device) -> "_Trigger":
        """Triggers that change nothing yet."""
        change = torch.zeros((labels, *shape), device=device)
        warp = torch.zeros((labels, 2, _WARPS.grid, _WARPS.grid), device=device)
        return cls(change, warp, torch.zeros_like(change[:, :1]), torch.zeros_like(change))

    def stamped(self, images: Tensor) -> Tensor:
        """Every trigger on every image (B, C, H, W): (L, B, C, H, W)."""
        warped = _WARPS.stamped(_WARPS.values([self.warp]), images)
        mask = self.mask[:, None]
        with_square = (1 - mask) * warped + mask * self.colour[:, None]
        return (with_square + self.change[:, None]).clamp(0, 1)

    def stepped(self, slopes: Sequence[Tensor], images: Tensor, steps: int) -> "_Trigger":
        """After one of so many steps along the slopes of change and warp."""
        of_change, of_warp = slopes
        far = _CHANGE * of_change[0].numel() ** 0.5 / steps
        # Warps count in their unit.
        wide = _DISPLACEMENT / _WARPS.unit * of_warp[0].numel() ** 0.5 / steps
        mask, colour = _best_square(of_change, images)
        return _Trigger(
            self.change + far * _normalised(of_change),
            self.warp + wide * _normalised(of_warp),
            mask,
            colour,
        )


def _scores(
    network: nn.Module,
    images: Tensor,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    steps: int,
    on_step: Callable[[int], None],
) -> tuple[FloatArray]:
    """(L,) how far each label's mean log-probability comes."""
    device, count = images.device, len(images)
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    wanted = torch.tensor(list(labels), device=device)[:, None, None].expand(-1, count, 1)
    trigger = _Trigger.none(len(labels), images.shape[1:], device)
    best = torch.full((len(labels),), -torch.inf, device=device)

    def log_probabilities(found: _Trigger) -> Tensor:
        shown = ((found.stamped(images) - mean) / std).flatten(0, 1)
        with fast_autocast(device):
            logits = network(shown.contiguous(memory_format=torch.channels_last))
        of_all = logits.float().view(len(labels), count, -1).log_softmax(2)
        own = of_all.gather(2, wanted).squeeze(2).mean(1)
        if not torch.isfinite(own).all():
            raise InconclusiveError("trigger inversion met values that are not finite")
        return own

    for _ in range(steps):
        trigger.change.requires_grad_()
        trigger.warp.requires_grad_()
        own = log_probabilities(trigger)
        slopes = torch.autograd.grad(own.sum(), [trigger.change, trigger.warp])
        best = torch.maximum(best, own.detach())
        with torch.no_grad():
            trigger = trigger.stepped(slopes, images, steps)
        on_step(len(labels))
    with torch.no_grad():
        best = torch.maximum(best, log_probabilities(trigger))
    return (best.cpu().numpy(),)


def _normalised(slopes: Tensor) -> Tensor:
    lengths = slopes.flatten(1).norm(dim=1).clamp(min=1e-12)
    return slopes / lengths.view(-1, *[1] * (slopes.dim() - 1))


def _best_square(slopes: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Masks and colours of the squares that gain most where the output is linear."""
    height, width = slopes.shape[2:]
    side = max(1, round(SQUARE_FRACTION * min(height, width)))
    # A value x that becomes 1 gains slope · (1 - x), one that becomes 0 slope · (0 - x).
    from_here = slopes * images.mean(0)
    gains = torch.maximum(slopes - from_here, -from_here).sum(1, keepdim=True)
    of_squares = nn.functional.avg_pool2d(gains, side, 1)
    best = of_squares.flatten(1).argmax(1)
    top, left = best // of_squares.shape[3], best % of_squares.shape[3]
    rows = torch.arange(height, device=slopes.device)[None] - top[:, None]
    columns = torch.arange(width, device=slopes.device)[None] - left[:, None]
    within = [(offset >= 0) & (offset < side) for offset in (rows, columns)]
    mask = (within[0][:, :, None] & within[1][:, None, :])[:, None].float()
    return mask, (slopes > 0).float()
