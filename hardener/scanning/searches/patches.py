"""The search for the smallest patch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from hardener.arrays import FloatArray, IntArray
from hardener.data.preprocessing import Preprocessing
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.scanning.optimiser import CPU, InversionSettings, Searched, search
from hardener.scanning.screening import logits_in_parts
from hardener.scanning.search_state import Values
from hardener.scanning.searches.family_search import FamilySearch, Inverted
from hardener.scanning.unfinished import NOTHING_KEPT, Unfinished
from hardener.triggers.patch import PATCH, Trigger

PATCHES = InversionSettings(steps=120, learning_rate=0.5)


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
    drawn: Sequence[int] | None = None,
) -> Inverted[Trigger]:
    """Searches the smallest patch for each label; arguments and errors as for `search`.

    Labels do not compete: a detector can be built whose patch is large for long and then shrinks.
    A label that has one of `squares` is searched once more, from there and in half the steps, and
    gets the smallest that works of both searches' patches and the square itself, on images of the
    search.
    """
    del drawn  # labels never compete in this search

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


def _works(trigger: Trigger, clean: IntArray, stamped: IntArray) -> bool:
    """Whether a patch sends to its label most images that would not go there anyway."""
    others = clean != trigger.label
    return others.any() and bool(np.mean(stamped[others] == trigger.label) >= LEAST_SUCCESS)


PATCH_SEARCH = FamilySearch(PATCH, "inverting patches", PATCHES, False, invert_patches, from_square)
