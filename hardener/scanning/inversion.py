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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray
from hardener.data.additive import AdditiveTrigger
from hardener.data.preprocessing import Preprocessing
from hardener.data.triggers import Trigger
from hardener.data.warps import Warp, interpolation
from hardener.scanning.screening import logits_in_parts
from hardener.scanning.searching import CPU, InversionSettings, Values, search
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished
from hardener.scanning.verdict import LEAST_SUCCESS

PATCHES = InversionSettings(steps=120, learning_rate=0.5)
ADDITIVE = InversionSettings(
    steps=60, learning_rate=0.02, initial_cost=0.05, cost_factor=1.15, memory=0.5
)
WARPS = InversionSettings(steps=60, initial_cost=0.05, cost_factor=1.15, memory=0.5)


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
) -> list[Trigger]:
    """Searches the smallest patch for each label; arguments and errors as for `search`.

    A label that has one of `squares` is searched once more, from there, and gets the smallest
    that works of both searches' patches and the square itself, on images of the search.
    """

    def searched(kind: _Patches, some: Sequence[int], stage: str) -> dict[int, Trigger]:
        found = search(
            kind,
            network,
            images,
            preprocessing,
            some,
            settings,
            seed,
            on_step,
            device,
            kept.of(stage, settings=settings),
        )
        return {
            label: Trigger(mask, pattern, int(label))
            for (mask, pattern), label in zip(found, some, strict=True)
        }

    found = searched(_Patches(), labels, "patch")
    given = {square.label: square for square in squares}
    again = searched(_PatchesFrom(given=given), list(given), "patch from a square")
    some = images[:: max(1, len(images) // settings.tried_images)]
    for label, square in given.items():
        candidates = (found[label], again[label], square)
        working = [t for t in candidates if _works(network, t, some, preprocessing, device)]
        found[label] = min(working, key=lambda t: t.mask_l1, default=found[label])
    return [found[label] for label in labels]


def _works(
    network: nn.Module,
    trigger: Trigger,
    images: FloatArray,
    preprocessing: Preprocessing,
    device: torch.device,
) -> bool:
    """Whether a patch sends to its label most images that would not go there anyway."""
    with torch.no_grad():
        clean, stamped = (
            logits_in_parts(network, torch.from_numpy(shown).to(device), preprocessing).argmax(1)
            for shown in (images, trigger.stamp(images))
        )
    hits = (stamped == trigger.label)[clean != trigger.label]
    return bool(hits.float().mean() >= LEAST_SUCCESS)


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
) -> list[AdditiveTrigger]:
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
    )
    return [
        AdditiveTrigger(perturbation, int(label))
        for (perturbation,), label in zip(found, labels, strict=True)
    ]


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
) -> list[Warp]:
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
    )
    return [
        Warp(displacements, int(label))
        for (displacements,), label in zip(found, labels, strict=True)
    ]
