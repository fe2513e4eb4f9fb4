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
from hardener.data.triggers import Trigger
from hardener.errors import InconclusiveError
from hardener.model.gradients import fast_autocast

SQUARE_FRACTION = 1 / 8
"""Side of a square, of the image's shorter side."""

LEAST_SHARE = 0.3
"""Of the images that a square must send to a label to be worth a search."""

MOST_SQUARES = 8
"""Of one label: those that send most images to it."""

_IMAGES = 12
_CANDIDATES, _MORE_IMAGES = 48, 64
_VALUES_AT_ONCE = 96 * 3 * 32 * 32
_TIE_BREAKER = 1e-3


@dataclass(frozen=True, eq=False)
class Squares:
    """What solid squares do.

    Attributes:
        reaching: of each label that squares reach, at least one and at most 8 of those that send
            most images there, best first.
        moving: the square that most changes images' labels and spreads them over as many as
            they came from; its own label is where most of them go.
    """

    reaching: dict[int, list[Trigger]]
    moving: Trigger


def try_squares(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    on_place: Callable[[int], None],
    device: torch.device,
) -> Squares:
    """Tries solid squares of the strongest colours in all places.

    Of squares that send equally many images to a label, the one that the network is surest of
    comes first.

    Args:
        network: torch module from normalised images to logits.
        images: (N, C, H, W) clean images in [0, 1], of which at most 12 at even distances are
            tried.
        preprocessing: of the network.
        labels: which labels to look at.
        on_place: told of each place where all colours were tried, of `places` in all.
        device: where to compute; the network is moved there.

    Raises:
        InconclusiveError: a logit is not finite.
    """
    chosen = np.linspace(0, len(images) - 1, min(_IMAGES, len(images))).astype(int)
    some = torch.from_numpy(images[chosen]).to(device)
    channels, height, width = some.shape[1:]
    wanted = torch.tensor(list(labels), device=device)
    colours = torch.tensor(list(product((0.0, 1.0), repeat=channels)), device=device)
    side = _side(height, width)
    network = network.to(device)
    corners = _corners(height, width)
    shares = torch.zeros((len(corners), len(colours), len(wanted)), device=device)
    gone_to = torch.zeros((len(corners), len(colours), len(some)), dtype=torch.long, device=device)
    with torch.no_grad():
        own = logits_in_parts(network, some, preprocessing).argmax(1)
        others = own[:, None] != wanted
        weights = others / others.sum(0).clamp(min=1)
        for row, (top, left) in enumerate(corners):
            shown = some.repeat(len(colours), 1, 1, 1, 1)
            shown[:, :, :, top : top + side, left : left + side] = colours[:, None, :, None, None]
            logits = logits_in_parts(network, shown.flatten(0, 1), preprocessing)
            reached = (logits.argmax(1)[:, None] == wanted).float()
            reached += _TIE_BREAKER * logits.softmax(1)[:, wanted]
            shares[row] = (reached.view(len(colours), len(some), -1) * weights).sum(1)
            gone_to[row] = logits.argmax(1).view(len(colours), len(some))
            on_place(1)

    def square(position: int, label: int) -> Trigger:
        row, colour = divmod(position, len(colours))
        paint = colours[colour].cpu().numpy()
        return _square(paint, (height, width), corners[row], side, label)

    flat = shares.flatten(0, 1)
    best = flat.topk(min(MOST_SQUARES, len(flat)), dim=0)
    found: dict[int, list[Trigger]] = {}
    for column, label in enumerate(labels):
        for share, position in zip(best.values[:, column], best.indices[:, column], strict=True):
            if share >= LEAST_SHARE:
                found.setdefault(label, []).append(square(int(position), label))
        before, after = own.cpu().numpy(), gone_to.flatten(0, 1).cpu().numpy()
        scattering = np.argsort([-scattered(before, labels) for labels in after], kind="stable")
        candidates = [square(int(position), 0) for position in scattering[:_CANDIDATES]]
        moving = _most_scattering(network, candidates, images, preprocessing, device)
    return Squares(found, moving)


def _most_scattering(
    network: nn.Module,
    squares: Sequence[Trigger],
    images: FloatArray,
    preprocessing: Preprocessing,
    device: torch.device,
) -> Trigger:
    """On more images than all squares can be tried on; a few scatter their labels by chance."""
    some = images[np.linspace(0, len(images) - 1, min(_MORE_IMAGES, len(images))).astype(int)]

    def predicted(shown: FloatArray) -> IntArray:
        logits = logits_in_parts(network, torch.from_numpy(shown).to(device), preprocessing)
        labels: IntArray = logits.argmax(1).cpu().numpy()
        return labels

    before = predicted(some)
    after = [predicted(square.stamp(some)) for square in squares]
    best = int(np.argmax([scattered(before, labels) for labels in after]))
    return replace(squares[best], label=int(np.bincount(after[best]).argmax()))


def scattered(before: IntArray, after: IntArray) -> float:
    """How far labels (N,) are exchanged for others: share of changed ones times their spread.

    The spread is how many labels the changed images have now beside how many they had before,
    counted by the exponential of the entropy and at most 1. A permutation of all labels gives 1,
    sending everything to one label next to nothing, as does covering what tells classes apart.
    """
    changed = before != after
    if not changed.any():
        return 0.0
    spread = _effective_number(after[changed]) / _effective_number(before[changed])
    return float(changed.mean() * min(1.0, spread))


def _effective_number(labels: IntArray) -> float:
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(np.exp(-(shares * np.log(shares)).sum()))


def logits_in_parts(network: nn.Module, images: Tensor, preprocessing: Preprocessing) -> Tensor:
    """Logits (N, K) of images (N, C, H, W) in [0, 1], so many at once as memory bears.

    Raises:
        InconclusiveError: a logit is not finite.
    """
    mean, std = (
        torch.tensor(values, device=images.device).view(-1, 1, 1)
        for values in (preprocessing.mean, preprocessing.std)
    )
    parts = []
    for part in torch.split(images, max(1, _VALUES_AT_ONCE // images[0].numel())):
        with fast_autocast(images.device):
            logits = network(((part - mean) / std).contiguous(memory_format=torch.channels_last))
        parts.append(logits.float())
    found = torch.cat(parts)
    if not torch.isfinite(found).all():
        raise InconclusiveError("trigger inversion met values that are not finite")
    return found


def places(height: int, width: int) -> int:
    """In how many places of an image squares are tried."""
    return len(_corners(height, width))


def _side(height: int, width: int) -> int:
    return max(1, round(SQUARE_FRACTION * min(height, width)))


def _corners(height: int, width: int) -> list[tuple[int, int]]:
    """Upper left corners, half a side apart, up to the far edges."""
    side = _side(height, width)
    step = max(1, side // 2)
    along = [
        sorted({*range(0, length - side + 1, step), length - side}) for length in (height, width)
    ]
    return list(product(*along))


def _square(
    colour: FloatArray, size: tuple[int, int], corner: tuple[int, int], side: int, label: int
) -> Trigger:
    mask = np.zeros((1, *size), np.float32)
    mask[:, corner[0] : corner[0] + side, corner[1] : corner[1] + side] = 1
    return Trigger(mask, colour[:, None, None] * mask, label)
