"""What has to go from a graph so that channels of one tensor can go.

Behind the feature layer a removal is followed to the layers that read it, which lose columns; what
they would have been given of a zeroed channel, where that is not zero, goes into their biases.
Before it a removal is followed back to the layers that make it, which lose rows: what the removed
places held does not matter there, so long as nothing else reads it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray, BoolArray
from hardener.model.channel_flow import CannotFollowError, Shapes
from hardener.model.operators import SIZES, WEIGHTED, Weighted, operator, present, said
from hardener.model.rewrites.cuts import Cut, cuts_of_inputs, cuts_of_outputs
from hardener.model.rewrites.leftovers import left_by
from hardener.model.weights import constant_of

_GIVE_MORE = frozenset({"DynamicQuantizeLinear", "Split"})
_COUNTS = frozenset(
    {
        "Add", "Cast", "Concat", "Div", "Gather", "Identity", "Mul", "Slice", "Squeeze", "Sub",
        "Unsqueeze",
    }
)  # fmt: skip
_TAKE_SIZES = frozenset({"Expand", "Reshape"})


@dataclass(frozen=True, eq=False)
class Place:
    """One input of a node."""

    node: gs.Node
    position: int


@dataclass(frozen=True, eq=False)
class Parameter:
    """A constant that shrinks where one node reads it.

    Attributes:
        place: where it is read.
        values: all of it.
        gone: what goes along each axis that loses something.
    """

    place: Place
    values: AnyArray
    gone: dict[int, BoolArray] = field(default_factory=dict)


@dataclass(eq=False)
class Removal:
    """What goes, collected while a graph is followed.

    Attributes:
        cuts: of each activation that loses something, by name.
        parameters: by the node's `id` and the position among its inputs.
        groups: for each grouped convolution that loses groups how many are left.
        left_out: parts of concatenations that go as a whole.
        biases: the new ones of layers that read a removed channel as another number than zero.
    """

    cuts: dict[str, Cut] = field(default_factory=dict)
    parameters: dict[tuple[int, int], Parameter] = field(default_factory=dict)
    groups: dict[int, tuple[gs.Node, int]] = field(default_factory=dict)
    left_out: list[Place] = field(default_factory=list)
    biases: list[tuple[Place, AnyArray]] = field(default_factory=list)


def removal_of(
    graph: gs.Graph, feature: gs.Variable, cut: Cut, shapes: Shapes, opsets: Mapping[str, int]
) -> Removal:
    """Finds everything that shrinks where `cut` is taken out of the feature layer.

    Args:
        graph: the model, nodes in running order; not changed.
        feature: the feature layer.
        cut: its channels that go, `left` all zero.
        shapes: of every tensor, as observed in one run.
        opsets: the model's opset for each domain.

    Raises:
        CannotFollowError: the channels cannot be taken out without changing anything else; the
            message names the node in the way.
    """
    search = _Search(graph, shapes, opsets)
    search.take(feature, cut)
    search.go_forward()
    search.go_back()
    search.require_all_read_less()
    return search.removal


class _Search:
    def __init__(self, graph: gs.Graph, shapes: Shapes, opsets: Mapping[str, int]) -> None:
        self.graph = graph
        self.shapes = shapes
        self.opsets = opsets
        self.removal = Removal()
        self.pending: list[gs.Variable] = []
        self.readers: set[tuple[int, str]] = set()
        """Nodes, with the name of a cut tensor that they are known to do without."""

    def take(self, value: gs.Variable, cut: Cut) -> None:
        """Cuts a tensor whose maker is still to be cut accordingly."""
        if any(value is output for output in self.graph.outputs):
            raise CannotFollowError(f"{value.name!r} is an output of the model")
        known = self.removal.cuts.get(value.name)
        if known is None:
            self.cut(value, cut)
            self.pending.append(value)
        elif not known.removes_as(cut):
            raise CannotFollowError(f"{value.name!r} would lose other channels for each reader")

    def cut(self, value: gs.Variable, cut: Cut) -> None:
        """Notes what a tensor loses."""
        if self.shapes[value.name][cut.axis] != len(cut.gone):
            raise CannotFollowError(f"{value.name!r} has an unknown form")
        self.removal.cuts[value.name] = cut

    def take_input(self, node: gs.Node, position: int, cut: Cut) -> None:
        """Cuts what a node reads: a constant for this node alone, or a computed tensor."""
        value = node.inputs[position]
        values = constant_of(value)
        if values is None:
            self.take(value, cut)
            self.readers.add((id(node), value.name))
            return
        parameter = self.removal.parameters.setdefault(
            (id(node), position), Parameter(Place(node, position), values)
        )
        known = parameter.gone.setdefault(cut.axis, cut.gone)
        if not np.array_equal(known, cut.gone):
            raise CannotFollowError(f"{said(node)} would lose different weights for each use")

    def go_forward(self) -> None:
        """From the feature layer to the layers that read it."""
        behind = set(self.removal.cuts)
        for node in self.graph.nodes:
            given = {
                position: self.removal.cuts[value.name]
                for position, value in enumerate(node.inputs)
                if value.name in behind
            }
            if not given or operator(node) in SIZES:
                continue
            self.readers |= {(id(node), node.inputs[position].name) for position in given}
            with _naming(node):
                weighted = operator(node) in WEIGHTED
                made = self.columns(node, given) if weighted else self.through(node, given)
            for position, cut in made.items():
                value = node.outputs[position]
                if cut.stays == 0:
                    raise CannotFollowError(f"{said(node)} would have nothing left to give")
                if any(value is output for output in self.graph.outputs):
                    raise CannotFollowError(
                        f"the channels reach the output {value.name!r} without weights between"
                    )
                self.cut(value, cut)
                behind.add(value.name)

    def through(self, node: gs.Node, given: dict[int, Cut]) -> dict[int, Cut]:
        """What a node without weights gives, and what else it must be given less of."""
        made = cuts_of_outputs(node, given, self.shapes)
        _require_one_output(node)
        if operator(node) == "Split":
            return made
        if operator(node) != "DynamicQuantizeLinear":
            implied = cuts_of_inputs(node, 0, made[0], self.shapes)
            for position, cut in given.items():
                if position not in implied or not implied[position].removes_as(cut):
                    raise CannotFollowError(f"{said(node)} mixes channels")
            for position in implied.keys() - given.keys():
                self.take_input(node, position, implied[position])
        return {0: left_by(node, given, made[0], self.shapes, self.opsets)}

    def columns(self, node: gs.Node, given: dict[int, Cut]) -> dict[int, Cut]:
        """Takes from a layer the weights that read what is gone; what then goes of its output."""
        kind = WEIGHTED[operator(node)]
        (position, cut), *others = given.items()
        swapped = kind.kind == "matmul" and position == kind.weight
        if others or (position != kind.data and not swapped):
            raise CannotFollowError(f"{said(node)} reads it beside other values")
        if _transposes_input(node):
            raise CannotFollowError(f"{said(node)} transposes its input")
        rank = len(self.shapes[node.inputs[position].name])
        transposed = bool(node.attrs.get("transB", 0))
        groups = int(node.attrs.get("group", 1))
        read = {"matmul": rank - (2 if swapped else 1)}.get(kind.kind, 1)
        if cut.axis != read or (swapped and transposed):
            raise CannotFollowError(f"{said(node)} mixes channels")
        if groups > 1:
            return self.groups_behind(node, cut, groups)
        if not cut.vanishes:
            self.removal.biases.append((Place(node, 2), _raised_bias(node, kind, cut)))
        other = kind.data if swapped else kind.weight
        last = len(self.shapes[node.inputs[other].name]) - 1
        axis = {
            "conv": 1,
            "conv-transpose": 0,
            "gemm": int(transposed),
            "matmul": last if transposed or swapped else last - 1,
        }[kind.kind]
        self.take_input(node, other, Cut(axis, cut.gone))
        return {}

    def groups_behind(self, node: gs.Node, cut: Cut, groups: int) -> dict[int, Cut]:
        """Takes whole groups from a convolution; of a zeroed channel they make their bias."""
        if operator(node) != "Conv" or not cut.vanishes:
            raise CannotFollowError(f"{said(node)} reads it in groups")
        gone = self.lose_groups(node, cut.gone, groups)
        rows = np.repeat(gone, self.shapes[node.outputs[0].name][1] // groups)
        self.rows(node, 0, rows)
        left = np.zeros(len(rows))
        if present(node, 2):
            bias = constant_of(node.inputs[2])
            if bias is None:
                raise CannotFollowError(f"{said(node)} computes its bias")
            left[rows] = bias.astype(np.float64)[rows]
        return {0: Cut(1, rows, left)}

    def go_back(self) -> None:
        """From what is cut to the layers that make it."""
        while self.pending:
            value = self.pending.pop()
            cut = self.removal.cuts[value.name]
            if not value.inputs:
                raise CannotFollowError("the images come first")
            node = value.inputs[0]
            with _naming(node):
                if operator(node) in WEIGHTED:
                    self.made_by_weights(node, cut)
                    continue
                _require_one_output(node)
                position = next(p for p, made in enumerate(node.outputs) if made is value)
                implied = cuts_of_inputs(node, position, cut, self.shapes)
            for place, own in implied.items():
                if own.stays:
                    self.take_input(node, place, own)
                else:
                    self.removal.left_out.append(Place(node, place))

    def made_by_weights(self, node: gs.Node, cut: Cut) -> None:
        """Takes from a layer the weights that make what is gone."""
        kind = WEIGHTED[operator(node)]
        rank = len(self.shapes[node.outputs[0].name])
        weights = len(self.shapes[node.inputs[kind.weight].name])
        transposed = bool(node.attrs.get("transB", 0))
        groups = int(node.attrs.get("group", 1))
        makes = rank - 1 if kind.kind == "matmul" else 1
        ungrouped = kind.kind != "conv-transpose" or groups == 1
        if kind.kind == "matmul" and cut.axis == rank - 2 and not _transposes_input(node):
            data = len(self.shapes[node.inputs[kind.data].name])
            if data > 1 and weights > 1 and kind.zero_point is None:
                self.take_input(node, kind.data, Cut(data - 2, cut.gone))
                return
        if cut.axis != makes or weights < 2 or _transposes_input(node) or not ungrouped:
            raise CannotFollowError(f"{said(node)} comes between")
        gone = cut.gone
        if groups > 1:
            width = len(gone) // groups
            whole = gone.reshape(groups, width).all(axis=1)
            inputs = self.shapes[node.inputs[kind.data].name][1] // groups
            read = np.repeat(whole, inputs)
            if not np.array_equal(np.repeat(whole, width), gone):
                raise CannotFollowError(f"{said(node)} would keep groups of several sizes")
            self.lose_groups(node, read, groups)
            self.take_input(node, kind.data, Cut(1, read))
        axis = {
            "conv": 0,
            "conv-transpose": 1,
            "gemm": 1 - int(transposed),
            "matmul": weights - (2 if transposed else 1),
        }[kind.kind]
        self.rows(node, axis, gone)
        if kind.addend is not None and present(node, kind.addend):
            self.take_input(node, kind.addend, Cut(1, gone))

    def rows(self, node: gs.Node, axis: int, gone: BoolArray) -> None:
        """Takes outputs of a layer: weights, biases, and what they are quantised with."""
        kind = WEIGHTED[operator(node)]
        self.take_input(node, kind.weight, Cut(axis, gone))
        for position in (kind.bias, kind.scale, kind.zero_point):
            if position is None or not present(node, position):
                continue
            shape = self.shapes[node.inputs[position].name]
            if shape and shape[-1] == len(gone):
                self.take_input(node, position, Cut(len(shape) - 1, gone))

    def lose_groups(self, node: gs.Node, gone: BoolArray, groups: int) -> BoolArray:
        """Which groups of a convolution go with these of its inputs."""
        of_group = gone.reshape(groups, -1)
        whole = np.logical_and.reduce(of_group, axis=1)
        if np.any(np.logical_or.reduce(of_group, axis=1) != whole):
            raise CannotFollowError(f"{said(node)} would keep groups of several sizes")
        self.removal.groups[id(node)] = (node, int(np.count_nonzero(~whole)))
        return whole

    def require_all_read_less(self) -> None:
        """Raises CannotFollowError where a node still reads what is gone."""
        tensors = self.graph.tensors()
        for name in self.removal.cuts:
            for reader in tensors[name].outputs:
                if (id(reader), name) not in self.readers and not self.asks_sizes(reader):
                    raise CannotFollowError(f"{said(reader)} reads {name!r} too")
        for place, _ in self.removal.biases:
            if place.node.outputs[0].name in self.removal.cuts:
                raise CannotFollowError(f"{said(place.node)} both reads and makes what goes")

    def asks_sizes(self, node: gs.Node) -> bool:
        """Whether a node is a `Shape` whose answer decides sizes and nothing else."""
        if operator(node) != "Shape":
            return False
        seen: set[int] = set()
        left = [node]
        while left:
            at = left.pop()
            seen.add(id(at))
            for value in at.outputs:
                if any(value is output for output in self.graph.outputs):
                    return False
                for reader in value.outputs:
                    if operator(reader) in _TAKE_SIZES and reader.inputs[0] is not value:
                        continue
                    if operator(reader) not in _COUNTS:
                        return False
                    left += [reader] if id(reader) not in seen else []
        return True


@contextmanager
def _naming(node: gs.Node) -> Iterator[None]:
    """Names the node whose form was not foreseen."""
    try:
        yield
    except (ArithmeticError, LookupError, ValueError) as error:
        raise CannotFollowError(f"{said(node)} has an unknown form") from error


def _require_one_output(node: gs.Node) -> None:
    if operator(node) not in _GIVE_MORE and any(value.outputs for value in node.outputs[1:]):
        raise CannotFollowError(f"{said(node)} gives more than its values")


def _transposes_input(node: gs.Node) -> bool:
    return any(node.attrs.get(name, 0) for name in ("transA", "transBatchA", "transBatchB"))


def _raised_bias(node: gs.Node, kind: Weighted, cut: Cut) -> AnyArray:
    """The bias of a layer that would have read removed channels as `cut.left`."""
    padded = any(node.attrs.get("pads", ())) or str(node.attrs.get("auto_pad", "")).startswith("SA")
    if cut.left is None or kind.kind not in ("conv", "gemm") or kind.bias != 2 or padded:
        raise CannotFollowError(f"{said(node)} has no bias that could take what is left")
    weight = constant_of(node.inputs[kind.weight])
    bias = constant_of(node.inputs[2]) if present(node, 2) else np.zeros(1)
    if weight is None or bias is None:
        raise CannotFollowError(f"{said(node)} computes its weights")
    wide = weight.astype(np.float64)
    if kind.kind == "conv":
        gain = wide.sum(axis=tuple(range(2, wide.ndim))) @ cut.left
    else:
        rows = wide if node.attrs.get("transB", 0) else wide.T
        beta = node.attrs.get("beta", 1.0) or np.nan
        gain = (rows @ cut.left) * node.attrs.get("alpha", 1.0) / beta
    if not np.isfinite(gain).all():
        raise CannotFollowError(f"{said(node)} does not add its bias")
    return (bias.astype(np.float64) + gain).astype(weight.dtype)
