"""The cure in closed form: each layer learns to say of a stamped image what it says of the clean.

For every convolution and linear layer with weights W₀ (a bias is one more column),

    W = argmin  Σ ‖W a(x) - W₀ a(x)‖² + λ Σ ‖W a(t(x)) - W₀ a(x)‖² + ρ ‖W - W₀‖²

over clean images x with stamped versions t(x), where a are the layer's inputs in the network as it
came. This is ridge regression: no gradient, no labels, no learning rate. With the sums

    S = Σ a(x) a(x)ᵀ,   S' = Σ a(t(x)) a(t(x))ᵀ,   D = Σ (a(x) - a(t(x))) a(t(x))ᵀ

it is W = W₀ + λ W₀ D (S + λ S' + ρ)⁻¹, so that one pass over the images serves every λ.

Inputs that are zero everywhere on all images that are fitted on, behind a ReLU, get weights of
zero: those images lose nothing, and a detector that waits for its trigger there is cut off, known
to a search or not. Where a class has no image, what knows that class may sleep too: nothing is cut.

Every layer is solved by itself, fed by the network as it came. Front to back, the first layers
would learn to hide the very triggers that are known, and the later ones would never see that
anything is wrong; by itself, a late layer sees the direction that all triggers of a label share.

Source: the unlearning step of Wang et al. 2019 (Neural Cleanse), section VI-C, as ridge regression
(Hoerl and Kennard 1970, equation 2.1) that pulls toward W₀ instead of toward nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.signature import Signature
from hardener.repairing.linear_layers import LinearLayer, watched

RIDGE = 0.2
"""ρ beside the mean of the diagonal of S + λ S'."""

FIRST_SOLVED = 0.4
"""Of the layers, from the front: these stay as they are."""

PLACES = 16
"""Of a map or of the tokens, drawn anew for every batch and layer."""


class Sums(NamedTuple):
    """What one layer's regression needs, over G groups of I inputs each, in float64.

    Attributes:
        clean: (G, I, I) S.
        stamped: (G, I, I) S'.
        shift: (G, I, I) D.
        awake: (G, I) 1 where an input is other than zero anywhere on any clean image, else 0.
    """

    clean: Tensor
    stamped: Tensor
    shift: Tensor
    awake: Tensor

    def all_awake(self) -> "Sums":
        """The same, as if every input were other than zero somewhere."""
        return self._replace(awake=torch.ones_like(self.awake))

    def __add__(self, more: "Sums") -> "Sums":  # type: ignore[override]  # sums, not their tuples
        return Sums(
            self.clean + more.clean,
            self.stamped + more.stamped,
            self.shift + more.shift,
            torch.maximum(self.awake, more.awake),
        )


@dataclass(frozen=True, eq=False)
class ClosedForm:
    """A network whose later layers can be solved.

    Attributes:
        plan: of the network as it came.
        signature: its input and output.
        layers: those that are solved, in the order in which they run.
        cuts: whether inputs that no clean image wakes get weights of zero.
    """

    plan: NetworkPlan
    signature: Signature
    layers: Sequence[LinearLayer]
    cuts: bool = True

    @property
    def channels_last(self) -> bool:
        """Whether the graph takes images as (N, H, W, C)."""
        return self.signature.layout == "NHWC"

    def sums(self, pairs: Iterable[tuple[Tensor, Tensor]], seed: int) -> dict[str, Sums]:
        """The sums of every layer, by the names of the weights; images are streamed.

        Args:
            pairs: network inputs (N, C, H, W), clean and stamped.
            seed: of the places.
        """
        seen: dict[str, list[Tensor]] = {}
        awake: dict[str, list[Tensor]] = {}
        drawn = torch.Generator()

        def watch(layer: LinearLayer, x: Tensor) -> None:
            seen.setdefault(layer.weight, []).append(layer.inputs(x.float(), drawn, PLACES))
            awake.setdefault(layer.weight, []).append(layer.awake(x))

        plan = watched(self.plan, self.layers, watch)
        network = GraphNetwork(plan, self.channels_last).eval()
        totals: dict[str, Sums] = {}
        with torch.no_grad():
            for number, (clean, stamped) in enumerate(pairs):
                # Of the stamped images the same places as of the clean ones.
                drawn.manual_seed(seed + number)
                network(clean)
                before = {name: torch.cat(rows, 1) for name, rows in seen.items()}
                woken = {name: torch.stack(one).any(0) for name, one in awake.items()}
                seen.clear()
                drawn.manual_seed(seed + number)
                network(stamped)
                for name, rows in seen.items():
                    own = _sums(before[name], torch.cat(rows, 1), woken[name])
                    totals[name] = totals[name] + own if name in totals else own
                seen.clear()
                awake.clear()
        return totals

    def solved(self, sums: Mapping[str, Sums], weight: float) -> dict[str, Tensor]:
        """New weights and biases by their names.

        Args:
            sums: of every layer.
            weight: λ, of stamped images beside clean ones.
        """
        return {
            name: value
            for layer in self.layers
            for name, value in self._solved(layer, sums[layer.weight], weight).items()
        }

    def _solved(self, layer: LinearLayer, sums: Sums, weight: float) -> dict[str, Tensor]:
        old = layer.matrix(self.plan.constants)
        sums, awake = _of_awake_inputs(sums if self.cuts else sums.all_awake())
        gram = sums.clean + weight * sums.stamped
        mean = gram.diagonal(dim1=1, dim2=2).mean(1)
        # Not even the bias has a say where a layer was never run.
        ridge = (RIDGE * mean).clamp(min=torch.finfo(torch.float32).tiny)
        gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
        wanted = weight * (old @ sums.shift)
        new = (old + torch.linalg.solve(gram, wanted, left=False)) * awake[:, None]
        return layer.stored(new, self.plan.constants)


def _of_awake_inputs(sums: Sums) -> tuple[Sums, Tensor]:
    """The sums without inputs that no clean image wakes, and which (G, I) any does."""
    awake = sums.awake > 0
    both = awake[:, :, None] & awake[:, None, :]
    clean, stamped, shift = (one * both for one in (sums.clean, sums.stamped, sums.shift))
    return Sums(clean, stamped, shift, sums.awake), awake


def _sums(clean: Tensor, stamped: Tensor, awake: Tensor) -> Sums:
    turned = stamped.transpose(1, 2)
    across = clean.transpose(1, 2) @ stamped
    own = turned @ stamped
    found = (clean.transpose(1, 2) @ clean, own, across - own, awake)
    return Sums(*(one.double().cpu() for one in found))
