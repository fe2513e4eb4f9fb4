"""Trigger inversion: for every label the smallest patch, faintest change and slightest warp.

A patch is a mask m and a pattern p in [0, 1],

    t(x) = (1 - m)·x + m·p,           ‖t‖ = ‖m‖₁     (Wang et al. 2019, equations 2 and 3)

and an additive trigger a perturbation δ of the whole image,

    t(x) = clip(x + δ, 0, 1),         ‖t‖ = ‖δ‖₂

which describes blended and sinusoidal triggers, for which masks are large on every label, and a
warp a coarse grid d of displacements, spread smoothly over the image,

    t(x)[i, j] = x[(i, j) + d(i, j)],           ‖t‖ = root mean square of d

as in Nguyen and Tran 2021 (WaNet), section 3.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray, IntArray
from hardener.data.additive import AdditiveTrigger
from hardener.data.preprocessing import Preprocessing
from hardener.data.triggers import Trigger
from hardener.data.warps import Warp, interpolation
from hardener.scanning.screening import logits_in_parts
from hardener.scanning.searching import CPU, InversionSettings, Searched, Values, search
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished
from hardener.scanning.verdict import LEAST_SUCCESS

PATCHES = InversionSettings(steps=120, learning_rate=0.5)
ADDITIVE = InversionSettings(
    steps=60, learning_rate=0.02, initial_cost=0.05, cost_factor=1.15, memory=0.5
)
WARPS = InversionSettings(steps=60, initial_cost=0.05, cost_factor=1.15, memory=0.5)

_Kind = TypeVar("_Kind", Trigger, AdditiveTrigger, Warp)


@dataclass(frozen=True, eq=False)
class Inverted(Generic[_Kind]):
    """Triggers of one kind.

    Attributes:
        triggers: the smallest of each label, in order.
        stopped: labels whose search was stopped early, because others came further.
        unsolved: of those, labels that nothing worked for by then: their triggers say nothing.
    """

    triggers: list[_Kind]
    stopped: frozenset[int] = frozenset()
    unsolved: frozenset[int] = frozenset()


@dataclass(frozen=True)
class _Patches:
    initial_mask: float = 0.1
    """Where every mask value starts, in (0, 1)."""

    def start(
        self, labels: Sequence[int], shape: torch.Size, generator: torch.Generator
    ) -> list[Tensor]:
        mask = torch.full((len(labels), 1, *shape[1:]), _logit(self.initial_mask))
        mask += 0.1 * torch.randn(mask.shape, generator=generator)
        return [mask, 0.1 * torch.randn((len(labels), *shape), generator=generator)]

    def values(self, parameters: Sequence[Tensor]) -> Values:
        mask, pattern = parameters
        return mask.sigmoid(), pattern.sigmoid()

    def stamped(self, values: Values, images: Tensor) -> Tensor:
        mask, pattern = values
        return (1 - mask[:, None]) * images + (mask * pattern)[:, None]

    def sizes(self, values: Values) -> Tensor:
        return values[0].flatten(1).sum(1)


@dataclass(frozen=True)
class _PatchesFrom(_Patches):
    """Patches that start near given ones, one for each label."""

    given: Mapping[int, Trigger] = field(default_factory=dict)
    nearness: float = 0.95
    """What a given mask of ones starts as."""

    def start(
        self, labels: Sequence[int], shape: torch.Size, generator: torch.Generator
    ) -> list[Tensor]:
        mask, pattern = super().start(labels, shape, generator)
        for row, label in enumerate(labels):
            given = torch.from_numpy(self.given[label].mask) > 0.5
            # All the rest of the image weighs half as much as what is given.
            rest = 0.5 * float(given.float().mean())
            mask[row] += torch.where(given, _logit(self.nearness), _logit(rest)) - _logit(
                self.initial_mask
            )
            bright = torch.from_numpy(self.given[label].pattern) > 0.5
            pattern[row] += given * torch.where(bright, 1, -1) * _logit(self.nearness)
        return [mask, pattern]


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


@dataclass(frozen=True)
class _Additive:
    initial_deviation: float = 0.005
    """Of every value at the start."""

    def start(
        self, labels: Sequence[int], shape: torch.Size, generator: torch.Generator
    ) -> list[Tensor]:
        return [self.initial_deviation * torch.randn((len(labels), *shape), generator=generator)]

    def values(self, parameters: Sequence[Tensor]) -> Values:
        return (parameters[0].clamp(-1, 1),)

    def stamped(self, values: Values, images: Tensor) -> Tensor:
        return (values[0][:, None] + images).clamp(0, 1)

    def sizes(self, values: Values) -> Tensor:
        return values[0].flatten(1).norm(dim=1)


@dataclass(frozen=True)
class Warps:
    """Warps on a coarse grid; a `TriggerKind`."""

    grid: int = 8
    """Displacements along each side."""
    unit: float = 1 / 32
    """Of the image's side, that the free parameters count in."""
    initial_deviation: float = 0.1

    def start(
        self, labels: Sequence[int], shape: torch.Size, generator: torch.Generator
    ) -> list[Tensor]:
        """Nearly straight grids."""
        start = torch.randn((len(labels), 2, self.grid, self.grid), generator=generator)
        return [self.initial_deviation * start]

    def values(self, parameters: Sequence[Tensor]) -> Values:
        """Displacements (L, 2, G, G), as fractions of the side."""
        return ((self.unit * parameters[0]).clamp(-1, 1),)

    def stamped(self, values: Values, images: Tensor) -> Tensor:
        """Every warp on every image (B, C, H, W): (L, B, C, H, W)."""
        count, (batch, _, height, width) = len(values[0]), images.shape
        rows, columns = (
            torch.from_numpy(interpolation(self.grid, side)).to(images.device)
            for side in (height, width)
        )
        field = torch.einsum("hg,lxgk,wk->lhwx", rows, values[0], columns)
        straight = torch.stack(
            torch.meshgrid(
                torch.linspace(-1, 1, width, device=images.device),
                torch.linspace(-1, 1, height, device=images.device),
                indexing="xy",
            ),
            -1,
        )
        # Displacements are fractions of a side; the sampler's coordinates run from -1 to 1
        # between the middles of the outermost pixels.
        reach = torch.tensor([2 * side / max(1, side - 1) for side in (width, height)])
        places = (straight + field * reach.to(images.device))[:, None]
        warped: Tensor = nn.functional.grid_sample(
            images[None].expand(count, *images.shape).flatten(0, 1),
            places.expand(count, batch, height, width, 2).flatten(0, 1),
            padding_mode="border",
            align_corners=True,
        )
        return warped.view(count, batch, *warped.shape[1:])

    def sizes(self, values: Values) -> Tensor:
        """(L,) root mean squares of the displacements, in units."""
        # At zero itself the root's slope is not finite.
        return (values[0].flatten(1).square().mean(1) + 1e-12).sqrt() / self.unit


def invert_patches(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None] = lambda _: None,
    device: torch.device = CPU,
    squares: Sequence[Trigger] = (),
    kept: Unfinished = NOTHING_KEPT,
) -> Inverted[Trigger]:
    """Searches the smallest patch for each label; arguments and errors as for `search`.

    Labels do not compete: a detector can be built whose patch is large for long and then shrinks.
    A label that has one of `squares` is searched once more, from there and in half the steps, and
    gets the smallest that works of both searches' patches and the square itself, on images of the
    search.
    """

    def searched(
        kind: _Patches,
        some: Sequence[int],
        stage: str,
        budget: InversionSettings,
    ) -> Searched:
        return search(
            kind,
            network,
            images,
            preprocessing,
            some,
            budget,
            seed,
            on_step,
            device,
            kept.of(stage, settings=budget),
        )

    def triggers(found: Searched, some: Sequence[int]) -> dict[int, Trigger]:
        pairs = zip(found.values, some, strict=True)
        return {label: Trigger(mask, pattern, int(label)) for (mask, pattern), label in pairs}

    first = searched(_Patches(), labels, "patch", settings)
    best = triggers(first, labels)
    given = {square.label: square for square in squares}
    second = searched(
        _PatchesFrom(given=given), list(given), "patch from a square", from_square(settings)
    )
    again = triggers(second, list(given))
    some = images[:: max(1, len(images) // settings.tried_images)]

    def labels_of(shown: FloatArray) -> IntArray:
        with torch.no_grad():
            logits = logits_in_parts(network, torch.from_numpy(shown).to(device), preprocessing)
        found: IntArray = logits.argmax(1).cpu().numpy()
        return found

    clean = labels_of(some) if given else np.zeros(0, int)
    for label, square in given.items():
        candidates = (best[label], again[label], square)
        working = [t for t in candidates if _works(t, clean, labels_of(t.stamp(some)))]
        best[label] = min(working, key=lambda t: t.mask_l1, default=best[label])
    return Inverted([best[label] for label in labels])


def from_square(settings: InversionSettings) -> InversionSettings:
    """The budget of a search that starts at a patch that works."""
    return replace(settings, steps=max(1, settings.steps // 2))


def _inverted(
    made: Callable[[FloatArray, int], _Kind], found: Searched, labels: Sequence[int]
) -> Inverted[_Kind]:
    """Triggers that one array describes."""

    def named(positions: Iterable[int]) -> frozenset[int]:
        return frozenset(int(labels[position]) for position in positions)

    pairs = zip(found.values, labels, strict=True)
    return Inverted(
        [made(values, int(label)) for (values,), label in pairs],
        named(found.stopped),
        named(found.unsolved),
    )


def _works(trigger: Trigger, clean: IntArray, stamped: IntArray) -> bool:
    """Whether a patch sends to its label most images that would not go there anyway."""
    others = clean != trigger.label
    return others.any() and bool(np.mean(stamped[others] == trigger.label) >= LEAST_SUCCESS)


def invert_additive(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None] = lambda _: None,
    device: torch.device = CPU,
    kept: Unfinished = NOTHING_KEPT,
    drawn: Sequence[int] | None = None,
) -> Inverted[AdditiveTrigger]:
    """Searches the faintest additive trigger for each label; arguments as for `search`."""
    found = search(
        _Additive(),
        network,
        images,
        preprocessing,
        labels,
        settings,
        seed,
        on_step,
        device,
        kept.of("additive", settings=settings),
        drawn,
    )
    return _inverted(AdditiveTrigger, found, labels)


def invert_warps(
    network: nn.Module,
    images: FloatArray,
    preprocessing: Preprocessing,
    labels: Sequence[int],
    settings: InversionSettings,
    seed: int,
    on_step: Callable[[int], None] = lambda _: None,
    device: torch.device = CPU,
    kept: Unfinished = NOTHING_KEPT,
    drawn: Sequence[int] | None = None,
) -> Inverted[Warp]:
    """Searches the slightest warp for each label; arguments and errors as for `search`."""
    found = search(
        Warps(),
        network,
        images,
        preprocessing,
        labels,
        settings,
        seed,
        on_step,
        device,
        kept.of("warp", settings=settings),
        drawn,
    )
    return _inverted(Warp, found, labels)
