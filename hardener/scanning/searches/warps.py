"""The search for the slightest warp."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hardener.scanning.optimiser import InversionSettings
from hardener.scanning.search_state import Values
from hardener.scanning.searches.family_search import FamilySearch, inversion_of
from hardener.triggers.warp import WARP, interpolation

WARPS = InversionSettings(steps=60, initial_cost=0.05, cost_factor=1.15, memory=0.5)


@dataclass(frozen=True)
class Warps:
    """Warps on a coarse grid; a `Parametrisation`."""

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


invert_warps = inversion_of(Warps(), WARP)

WARP_SEARCH = FamilySearch(WARP, "inverting warps", WARPS, True, invert_warps, exchange=Warps())
