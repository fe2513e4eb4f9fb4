"""The closed form front to back: each layer solved behind those that are cured already.

For every layer with weights W₁ so far, inputs a of the network so far and outputs z of the network
as it came,

    W = argmin  Σ ‖W a(x) - z(x)‖² + Σ ‖W a(t(x)) - z(x)‖² + ρ ‖W - W₁‖²

over clean images x with stamped versions t(x). A layer so makes good what those before it changed,
which costs less accuracy than each by itself does. It would also learn nothing of a trigger that
the layers before hide already: so neighbouring layers see other triggers.

Source: ridge regression (Hoerl and Kennard 1970, equation 2.1) that pulls toward W₁; layer behind
layer as in Hubara et al. 2021 (AdaQuant, arXiv 2006.10518), section 3.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.network import GraphNetwork
from hardener.repairing.closed_form import PLACES, ClosedForm
from hardener.repairing.linear_layers import LinearLayer, watched

_RIDGE = 1.0
"""ρ beside the mean of the diagonal."""

Pairs = Iterable[tuple[Tensor, Tensor]]


def solved_front_to_back(
    closed_form: ClosedForm, weights: Mapping[str, Tensor], stamped: Callable[[int], Pairs]
) -> dict[str, Tensor]:
    """New weights and biases by their names; images are streamed once for each layer.

    Args:
        closed_form: the network as it came, and its layers in the order in which they run.
        weights: of the network so far.
        stamped: takes a layer's number and gives network inputs (N, C, H, W), clean and stamped.

    Layers that share a weight stay as they are.
    """
    found, plan = dict(weights), closed_form.plan
    readers = Counter(layer.weight for layer in closed_form.layers)
    for number, layer in enumerate(closed_form.layers):
        if readers[layer.weight] > 1:
            continue  # What suits one reader of a weight would not suit the others.
        now = plan.with_constants(found)
        old, base = layer.matrix(plan.constants), layer.matrix(now.constants)
        came, cured = (_Inputs(layer, one, closed_form.channels_last) for one in (plan, now))
        gram, wanted = torch.zeros(()).double(), torch.zeros(()).double()
        for seed, (clean, marked) in enumerate(stamped(number)):
            inputs = came(clean, seed)
            outputs = inputs @ old.float().transpose(1, 2).to(inputs.device)
            for own in (cured(clean, seed), cured(marked, seed)):
                gram = gram + (own.transpose(1, 2) @ own).double().cpu()
                wanted = wanted + (outputs.transpose(1, 2) @ own).double().cpu()
        missing = wanted - base @ gram
        mean = gram.diagonal(dim1=1, dim2=2).mean(1)
        ridge = (_RIDGE * mean).clamp(min=torch.finfo(torch.float32).tiny)
        gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
        new = base + torch.linalg.solve(gram, missing, left=False)
        found.update(layer.stored(new, plan.constants))
    return found


class _Inputs:
    """Takes network inputs and gives what the outputs of one layer are sums of: (G, rows, I)."""

    def __init__(self, layer: LinearLayer, plan: NetworkPlan, channels_last: bool) -> None:
        self._seen = list[Tensor]()
        self._drawn = torch.Generator()

        def watch(layer: LinearLayer, x: Tensor) -> None:
            self._seen.append(layer.inputs(x.float(), self._drawn, PLACES))

        count = plan.nodes.index(layer.node) + 1  # What comes behind it need not run.
        until = replace(plan, nodes=plan.nodes[:count], steps=plan.steps[:count])
        until = replace(until, result=layer.node.outputs[0])
        self._network = GraphNetwork(watched(until, [layer], watch), channels_last).eval()

    def __call__(self, images: Tensor, seed: int) -> Tensor:
        """Of the same places for the same seed."""
        self._seen.clear()
        self._drawn.manual_seed(seed)
        with torch.no_grad():
            self._network(images)
        return torch.cat(self._seen, 1)
