"""The layers that a closed form can solve: what each output value is a weighted sum of."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hardener.model.differentiation.building import NetworkPlan
from hardener.model.differentiation.nodes import Node, Step
from hardener.model.differentiation.windows import Window, pad_sides, read_window, with_kernel

_WIDEST = 8192
"""Inputs of one output: the three sums of such a layer take 1.5 GiB."""

Rows = Callable[[Tensor, torch.Generator, int], Tensor]
Form = tuple[str | None, int, int, int]
Watch = Callable[["LinearLayer", Tensor], None]


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """A convolution or matrix product whose weights may change.

    Its outputs are G groups of O values, each a weighted sum of the same I inputs of its group.

    Attributes:
        node: what computes it.
        weight: name of its weights.
        bias: name of its bias; None where it has none of its own that may change.
        waking: takes the layer's input (N, ...), gives which inputs (G, I) are not zero everywhere.
        rows: takes the layer's input (N, ...), a source of randomness and a number of places, draws
            so many places and gives what their outputs are sums of: (G, rows, I).
        as_matrix: takes the weights, gives (G, O, I).
        as_weights: the way back, to a given shape.
    """

    node: Node
    weight: str
    bias: str | None
    rows: Rows
    waking: Callable[[Tensor], Tensor]
    as_matrix: Callable[[Tensor], Tensor]
    as_weights: Callable[[Tensor, torch.Size], Tensor]

    def inputs(self, x: Tensor, generator: torch.Generator, places: int) -> Tensor:
        """What outputs are sums of: (G, rows, I), and a column of ones where there is a bias."""
        rows = self.rows(x, generator, places)
        return rows if self.bias is None else torch.cat([rows, torch.ones_like(rows[..., :1])], -1)

    def awake(self, x: Tensor) -> Tensor:
        """Which inputs (G, I) are other than zero on any image; a bias always is."""
        found = self.waking(x)
        return found if self.bias is None else torch.cat([found, found.new_ones(len(found), 1)], -1)

    def matrix(self, constants: Mapping[str, Tensor]) -> Tensor:
        """The weights (G, O, I) in float64, the bias as one more column."""
        found = self.as_matrix(constants[self.weight]).double()
        if self.bias is None:
            return found
        bias = constants[self.bias].double().reshape(*found.shape[:2], 1)
        return torch.cat([found, bias], -1)

    def stored(self, matrix: Tensor, constants: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The way back from `matrix`: weights and bias by their names, as `constants` have them."""
        weight, found = constants[self.weight], dict[str, Tensor]()
        if self.bias is not None:
            bias = constants[self.bias]
            found[self.bias] = matrix[..., -1].reshape(bias.shape).to(bias.dtype)
            matrix = matrix[..., :-1]
        found[self.weight] = self.as_weights(matrix, weight.shape).to(weight.dtype)
        return found


def linear_layers(plan: NetworkPlan, changeable: Collection[str]) -> list[LinearLayer]:
    """The layers of a network that can be solved, in the order in which they run.

    Layers with more than 8,192 inputs an output are left out, and those that read one weight in
    different ways. A bias that layers of different weights share stays as it is.

    Args:
        plan: of the network, as `read_plan` gives it.
        changeable: names of the weights that may change.
    """
    made = (_layer_of(node, plan, changeable) for node in plan.nodes)
    layers = [layer for layer in made if layer is not None]
    forms, users = dict[str, set[Form]](), dict[str | None, set[str]]()
    for layer in layers:
        form = layer.bias, *layer.as_matrix(plan.constants[layer.weight]).shape
        forms.setdefault(layer.weight, set()).add(form)
        users.setdefault(layer.bias, set()).add(layer.weight)
    return [
        layer if len(users[layer.bias]) == 1 else replace(layer, bias=None)
        for layer in layers
        if len(forms[layer.weight]) == 1
    ]


def watched(plan: NetworkPlan, layers: Sequence[LinearLayer], watch: Watch) -> NetworkPlan:
    """A plan that shows the input of some layers each time it runs.

    Args:
        plan: of the network that the layers are of.
        layers: which ones.
        watch: is shown a layer and its input.
    """
    by_node = {layer.node: layer for layer in layers}

    def watching(node: Node, step: Step) -> Step:
        layer = by_node.get(node)
        if layer is None:
            return step

        def run(x: Tensor, *others: Tensor | None) -> Tensor | tuple[Tensor, ...]:
            watch(layer, x)
            return step(x, *others)

        return run

    steps = (watching(node, step) for node, step in zip(plan.nodes, plan.steps, strict=True))
    return replace(plan, steps=tuple(steps))


def _layer_of(node: Node, plan: NetworkPlan, changeable: Collection[str]) -> LinearLayer | None:
    if node.domain or len(node.inputs) < 2 or node.inputs[1] not in changeable:
        return None
    weight = node.inputs[1]
    bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] in changeable else None
    shape = plan.constants[weight].shape
    layer: LinearLayer | None
    if node.op == "Conv" and len(shape) == 4:
        layer = _convolution(node, weight, bias, shape)
    elif node.op in ("Gemm", "MatMul") and len(shape) == 2:
        layer = _product(node, weight, bias)
    else:
        return None
    if layer is None:
        return None
    groups, outputs, inputs = layer.as_matrix(plan.constants[weight]).shape
    if bias is not None and plan.constants[bias].numel() != groups * outputs:
        layer = replace(layer, bias=None)  # One value for all outputs.
    return layer if inputs <= _WIDEST else None


def _convolution(node: Node, weight: str, bias: str | None, shape: torch.Size) -> LinearLayer:
    groups = node.integer("group", 1)
    window = with_kernel(read_window(node, shape[2:]), shape[2:])
    return LinearLayer(
        node,
        weight,
        bias,
        lambda x, generator, places: _under_kernel(x, window, groups, generator, places),
        lambda x: _channels_awake(x, groups, shape[2:].numel()),
        lambda weights: weights.reshape(groups, len(weights) // groups, -1),
        lambda matrix, size: matrix.reshape(size),
    )


def _under_kernel(
    x: Tensor, window: Window, groups: int, generator: torch.Generator, places: int
) -> Tensor:
    """What lies under the kernel at some places of every map: (G, N·places, C/G·kh·kw)."""
    before, after = window.padding(x.shape[2:])
    x = pad_sides(x, before, after, 0.0)
    (height, width), (down, across) = window.kernel, window.strides
    rows = (x.shape[2] - window.reach(0)) // down + 1
    columns = (x.shape[3] - window.reach(1)) // across + 1
    drawn = torch.randperm(rows * columns, generator=generator)[:places].to(x.device)
    top, left = drawn // columns * down, drawn % columns * across
    y = top[:, None, None] + window.dilations[0] * torch.arange(height, device=x.device)[:, None]
    x_ = left[:, None, None] + window.dilations[1] * torch.arange(width, device=x.device)
    taken = x[:, :, y, x_]
    count, channels, drawn_places = taken.shape[:3]
    grouped = taken.reshape(count, groups, channels // groups, drawn_places, -1)
    return grouped.permute(1, 0, 3, 2, 4).reshape(groups, count * drawn_places, -1)


def _channels_awake(x: Tensor, groups: int, under_kernel: int) -> Tensor:
    """Of each channel, at every place under the kernel: (G, C/G·kh·kw)."""
    channels = (x != 0).flatten(2).any(2).any(0)
    return channels.reshape(groups, -1).repeat_interleave(under_kernel, 1)


def _product(node: Node, weight: str, bias: str | None) -> LinearLayer | None:
    turned = node.op == "Gemm" and bool(node.integer("transB", 0))
    plain = node.number("alpha", 1.0) == 1 and node.number("beta", 1.0) == 1
    if not plain or node.integer("transA", 0):
        return None
    if turned:
        return LinearLayer(
            node, weight, bias, _tokens, _values_awake, lambda w: w[None], lambda m, _: m[0]
        )
    return LinearLayer(
        node,
        weight,
        bias,
        _tokens,
        _values_awake,
        lambda w: w.t()[None],
        lambda m, _: m[0].t().contiguous(),
    )


def _values_awake(x: Tensor) -> Tensor:
    """Of each value of a row: (1, I)."""
    return (x != 0).reshape(-1, x.shape[-1]).any(0)[None]


def _tokens(x: Tensor, generator: torch.Generator, places: int) -> Tensor:
    """Some of each image's rows: (1, N·places, I)."""
    rows = x.reshape(len(x), -1, x.shape[-1])
    drawn = torch.randperm(rows.shape[1], generator=generator)[:places].to(x.device)
    return rows[:, drawn].reshape(1, -1, x.shape[-1])
