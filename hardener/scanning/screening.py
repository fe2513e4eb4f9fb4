"""Solid squares on a few images, place by place: where a search for patches may begin.

A search by gradients starts from a faint mask over the whole image, and from there it may never
come to a patch that works at once. Squares of the strongest colours need no gradient. They stand
half a side apart, so that a detector of half their side is wholly covered wherever it is: each
label that one of them reaches gets a second search, from that square.

A square that changes nearly every image's label and scatters the images over as many labels as
they came from is what an attack from all labels to all leaves behind; no search for one label's
trigger finds that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray, IntArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.model.gradients import fast_autocast
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished
from hardener.triggers.patch import Trigger, solid_square

SQUARE_FRACTION = 1 / 8
"""Side of a square, of the image's shorter side."""

LEAST_SHARE = 0.3
"""Of the images that a square must send to a label to be worth a search."""

MOST_SQUARES = 8
"""Of one label: those that send most images to it."""

VALUES_AT_ONCE = 96 * 3 * 32 * 32
"""Input values that go through the network in one piece."""

SQUARES_STAGE = "trying squares"
"""What progress calls it."""

_TIE_BREAKER = 1e-3
_MORE_IMAGES = 64


@dataclass(frozen=True)
class Density:
    """How closely squares are tried.

    Attributes:
        steps_per_side: places along one side of a square.
        images: at most so many.
        candidates: how many of the squares that scatter labels are tried on more images.
        values_at_once: input values that go through the network in one piece.
    """

    steps_per_side: int = 2
    images: int = 12
    candidates: int = 48
    values_at_once: int = VALUES_AT_ONCE


DENSE = Density()


def density_within(
    values: int, channels: int, height: int, width: int, values_at_once: int
) -> Density:
    """The closest squares whose images hold no more input values in all; at least 4 images."""
    for steps, images in ((2, 12), (1, 12), (1, 8)):
        tried = places(height, width, steps) * 2**channels * images
        if tried * channels * height * width <= values:
            return Density(steps, images, values_at_once=values_at_once, candidates=12)
    return Density(1, 4, values_at_once=values_at_once, candidates=12)


@dataclass(frozen=True, eq=False)
class Squares:
    """What solid squares do.

    Attributes:
        reaching: of each label that squares reach, at least one and at most 8 triggers, those that
            send most images there, best first.
        best: (L,) of each label the largest share of images that a square sends there, and a little
            for how sure the network is of it.
        scattering: the squares that most change images' labels and spread them over as many as
            they came from, most first; the label of each is where most of them go.
    """

    reaching: dict[int, list[Trigger]]
    best: FloatArray
    scattering: tuple[Trigger, ...]

    @property
    def moving(self) -> Trigger:
        """The square that scatters labels most."""
        return self.scattering[0]


def try_squares(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    on_place: Callable[[int], None],
    device: torch.device,
    density: Density = DENSE,
    kept: Unfinished = NOTHING_KEPT,
) -> Squares:
    """Tries solid squares of the strongest colours in many places.

    Of squares that send equally many images to a label, the one that the network is surest of
    comes first.

    Args:
        network: torch module from normalised images to logits.
        images: (N, C, H, W) clean images in [0, 1], of which some at even distances are tried.
        preprocessing: of the network.
        labels: which labels to look at.
        on_place: told of each place where all colours were tried, of `places` in all.
        device: where to compute; the network is moved there.
        density: how many places and images.
        kept: where the outcome is kept, and that of an interrupted run lies.

    Raises:
        InconclusiveError: a logit is not finite.
    """
    height, width = images.shape[2:]
    corners = _corners(height, width, density.steps_per_side)
    colours = torch.tensor(list(product((0.0, 1.0), repeat=images.shape[1])), device=device)
    some = images[np.linspace(0, len(images) - 1, min(density.images, len(images))).astype(int)]
    count = len(corners), len(colours)
    (shares, before, after), from_earlier_run = kept.of("squares", density=density).piece(
        labels,
        [(*count, len(labels)), (len(some),), (*count, len(some))],
        lambda: _tried(
            network, some, preprocessing, labels, on_place, device, density, corners, colours
        ),
    )
    if from_earlier_run:
        on_place(len(corners))

    def square(position: int, label: int) -> Trigger:
        row, colour = divmod(position, len(colours))
        paint = colours[colour].cpu().numpy()
        side = _side(height, width)
        return solid_square(paint, (height, width), corners[row], side, label)

    flat = torch.from_numpy(shares).flatten(0, 1)
    best = flat.topk(min(MOST_SQUARES, len(flat)), dim=0)
    found: dict[int, list[Trigger]] = {}
    for column, label in enumerate(labels):
        for share, position in zip(best.values[:, column], best.indices[:, column], strict=True):
            if share >= LEAST_SHARE:
                found.setdefault(label, []).append(square(int(position), label))
    gone_to = after.reshape(-1, len(some)).astype(int)
    scattering = np.argsort([-scattered(before.astype(int), row) for row in gone_to], kind="stable")
    candidates = [square(int(position), 0) for position in scattering[: density.candidates]]
    most = _most_scattering(network, candidates, images, preprocessing, device, density)
    return Squares(found, best.values[0].numpy(), most)


def scattered(before: IntArray, after: IntArray) -> float:
    """How far labels (N,) are exchanged for others: share of changed ones times their spread.

    The spread is how many labels beyond one the changed images have now beside how many they had
    before, counted by the exponential of the entropy and at most 1. A permutation of all labels
    gives 1, sending everything to one label nothing, and covering what tells classes apart little.
    """
    changed = before != after
    if not changed.any():
        return 0.0
    now, had = (_effective_number(labels[changed]) - 1 for labels in (after, before))
    return float(changed.mean() * min(1.0, now / had)) if had > 0 else 0.0


def _effective_number(labels: IntArray) -> float:
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _most_scattering(
    network: nn.Module,
    squares: Sequence[Trigger],
    images: FloatArray,
    preprocessing: Preprocessing,
    device: torch.device,
    density: Density,
) -> tuple[Trigger, ...]:
    """Most first, on more images than all squares can be tried on: a few scatter by chance."""
    some = images[np.linspace(0, len(images) - 1, min(_MORE_IMAGES, len(images))).astype(int)]

    def predicted(shown: FloatArray) -> IntArray:
        with torch.no_grad():
            logits = logits_in_parts(
                network, torch.from_numpy(shown).to(device), preprocessing, density.values_at_once
            )
        labels: IntArray = logits.argmax(1).cpu().numpy()
        return labels

    before = predicted(some)
    after = [predicted(square.stamp(some)) for square in squares]
    order = np.argsort([-scattered(before, labels) for labels in after], kind="stable")
    return tuple(
        replace(squares[one], label=int(np.bincount(after[one]).argmax())) for one in order
    )


def _tried(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    on_place: Callable[[int], None],
    device: torch.device,
    density: Density,
    corners: Sequence[tuple[int, int]],
    colours: Tensor,
) -> tuple[FloatArray, ...]:
    """What squares do to images (N, C, H, W).

    Returns:
        Shares (places, colours, L) of the images of others that a square sends to a label, the
        images' labels without a square (N,) and with each (places, colours, N).
    """
    some = torch.from_numpy(images).to(device)
    wanted = torch.tensor(list(labels), device=device)
    side = _side(*some.shape[2:])
    network = network.to(device)
    at_once = density.values_at_once
    shares = torch.zeros((len(corners), len(colours), len(wanted)), device=device)
    gone_to = torch.zeros((len(corners), len(colours), len(some)), device=device)
    with torch.no_grad():
        own = logits_in_parts(network, some, preprocessing, at_once).argmax(1)
        others = own[:, None] != wanted
        weights = others / others.sum(0).clamp(min=1)
        for row, (top, left) in enumerate(corners):
            shown = some.repeat(len(colours), 1, 1, 1, 1)
            shown[:, :, :, top : top + side, left : left + side] = colours[:, None, :, None, None]
            logits = logits_in_parts(network, shown.flatten(0, 1), preprocessing, at_once)
            reached = (logits.argmax(1)[:, None] == wanted).float()
            reached += _TIE_BREAKER * logits.softmax(1)[:, wanted]
            shares[row] = (reached.view(len(colours), len(some), -1) * weights).sum(1)
            gone_to[row] = logits.argmax(1).view(len(colours), len(some)).float()
            on_place(1)
    return shares.cpu().numpy(), own.float().cpu().numpy(), gone_to.cpu().numpy()


def logits_in_parts(
    network: nn.Module,
    images: Tensor,
    preprocessing: Preprocessing,
    values_at_once: int = VALUES_AT_ONCE,
) -> Tensor:
    """Logits (N, K) of images (N, C, H, W) in [0, 1], so many at once as memory bears.

    Raises:
        InconclusiveError: a logit is not finite.
    """
    mean, std = (
        torch.tensor(values, device=images.device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    parts = []
    for part in torch.split(images, max(1, values_at_once // images[0].numel())):
        with fast_autocast(images.device):
            logits = network(((part - mean) / std).contiguous(memory_format=torch.channels_last))
        parts.append(logits.float())
    found = torch.cat(parts)
    if not torch.isfinite(found).all():
        raise InconclusiveError("trigger inversion met values that are not finite")
    return found


def places(height: int, width: int, steps_per_side: int = DENSE.steps_per_side) -> int:
    """In how many places of an image squares are tried."""
    return len(_corners(height, width, steps_per_side))


def _side(height: int, width: int) -> int:
    return max(1, round(SQUARE_FRACTION * min(height, width)))


def _corners(height: int, width: int, steps_per_side: int) -> list[tuple[int, int]]:
    """Upper left corners, so many to a side, up to the far edges."""
    side = _side(height, width)
    step = max(1, side // steps_per_side)
    along = [
        sorted({*range(0, length - side + 1, step), length - side}) for length in (height, width)
    ]
    return list(product(*along))
