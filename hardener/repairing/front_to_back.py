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

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.network import GraphNetwork
from hardener.repairing.closed_form import PLACES, ClosedForm
from hardener.repairing.linear_layers import LinearLayer

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
    """
    found = dict(weights)
    for number, layer in enumerate(closed_form.layers):
        plan = closed_form.plan
        now = plan.with_constants(found)
        old, base = layer.matrix(plan.constants), layer.matrix(now.constants)
        inputs = [_before(layer, one, closed_form.channels_last) for one in (plan, now, now)]
        gram, wanted = torch.zeros(()).double(), torch.zeros(()).double()
        drawn = torch.Generator()
        for seed, (clean, marked) in enumerate(stamped(number)):
            rows = []
            for network, images in zip(inputs, (clean, clean, marked), strict=True):
                drawn.manual_seed(seed)  # the same places of all three
                with torch.no_grad():
                    rows.append(layer.inputs(network(images).float(), drawn, PLACES))
            outputs = rows[0] @ old.float().transpose(1, 2)
            for own in rows[1:]:
                gram = gram + (own.transpose(1, 2) @ own).double()
                wanted = wanted + (outputs.transpose(1, 2) @ own).double()
        ridge = (_RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1)).clamp(
            min=torch.finfo(torch.float32).tiny
        )
        missing = wanted - base @ gram
        gram.diagonal(dim1=1, dim2=2).add_(ridge[:, None])
        new = base + torch.linalg.solve(gram, missing, left=False)
        found.update(layer.stored(new, plan.constants))
    return found


def _before(layer: LinearLayer, plan: NetworkPlan, channels_last: bool) -> GraphNetwork:
    """The network up to a layer: gives that layer's input."""
    nodes = plan.nodes[: plan.nodes.index(layer.node)]
    cut = replace(plan, nodes=nodes, steps=plan.steps[: len(nodes)], result=layer.node.inputs[0])
    return GraphNetwork(cut, channels_last).eval()
