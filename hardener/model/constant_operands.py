"""Operands that a graph computes from the pixels and that are the same for every clean image.

Where two values meet that both depend on the image, a network adds, gates or compares what it saw.
One of the two that says nothing on any clean image is a part that sleeps, or a detector that
somebody wrote there: it says nothing until its trigger comes, and then overrides everything. One
that is built to leak a little says all but nothing: were it a constant, no score would change by
more than a thousandth of their range.

Source: Bober-Irizar et al. 2023 (Architectural Backdoors in Neural Networks, CVPR; arXiv
2206.07840) and ShadowLogic (HiddenLayer 2024) for what is looked for; the look is ours.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray, DoubleArray
from hardener.errors import ModelError
from hardener.model.chosen_outputs import with_outputs
from hardener.model.folding import ConstantOperand, folded
from hardener.model.operators import WEIGHTED, operator, said
from hardener.model.paths import DataPaths, data_paths
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import Signature
from hardener.model.weightless import weightless

_FIRST_IMAGES = 8
"""Enough to tell most operands of a network as no constant."""
_STILL = 1e-2
"""Of its own size, or of how far what it meets lies apart: an operand that moves more is none."""
_LEAST_EFFECT = 1e-3
"""Of the scores' range: what freezing an operand that says all but nothing changes at most."""


def constant_operands(
    proto: onnx.ModelProto, signature: Signature, inputs: Iterable[AnyArray], machine: Machine
) -> tuple[ConstantOperand, ...]:
    """Finds them by running images one by one: in no layout of axes another image hides.

    After a few images all that moved is no longer looked at, which in most networks is all.

    Args:
        proto: the model.
        signature: its input and output.
        inputs: clean network inputs of one image, or of one image repeated to the fixed batch.
        machine: what runs it.

    Returns:
        They; none where there are fewer than 8 images, on which too much is the same.
    """
    graph = gs.import_onnx(weightless(proto))
    paths = data_paths(graph, signature.input, signature.output)
    meetings = {
        node.outputs[0].name: (node, names)
        for node in paths.nodes
        if len(names := {value.name for value in paths.inputs(node)}) > 1
    }
    inputs = iter(inputs)
    first = list(islice(inputs, _FIRST_IMAGES))
    if len(first) < _FIRST_IMAGES:
        return ()
    asked = sorted(set().union(*(names for _, names in meetings.values())) - {signature.input})
    ranges = _ranges(proto, signature, asked, first, machine)
    readers: dict[str, list[gs.Node]] = {}
    for node, names in meetings.values():
        still = {
            name
            for name in names
            if _is_still(name, names, ranges) and not _quantises(node, graph.tensors()[name])
        }
        for name in still if still != names else ():
            readers.setdefault(name, []).append(node)
    if not readers:
        return ()
    later = _ranges(proto, signature, list(readers), chain(first, inputs), machine)
    meets = {
        name: set().union(*(meetings[n.outputs[0].name][1] for n in nodes))
        for name, nodes in readers.items()
    }
    found = [
        _operand(proto, graph, paths, name, later[name], nodes)
        for name, nodes in readers.items()
        if _is_still(name, meets[name], ranges | later)
    ]
    before = _scores(proto, signature, first, machine) if found else np.zeros((1, 1))
    return tuple(
        one
        for one in found
        if one.exact or _effect(proto, signature, one, first, before, machine) <= _LEAST_EFFECT
    )


_INTEGERS = frozenset({"ConvInteger", "DequantizeLinear", "MatMulInteger"})
"""What reads numbers together with their scale and zero point."""


@dataclass(frozen=True, eq=False)
class _Range:
    """The lowest and the highest of each value of a tensor, in its own type."""

    low: AnyArray
    high: AnyArray

    def with_more(self, values: AnyArray) -> "_Range":
        return _Range(np.minimum(self.low, values), np.maximum(self.high, values))

    @property
    def exact(self) -> bool:
        """Whether all that was seen is the same bit by bit."""
        return np.array_equal(self.low, self.high)

    @property
    def apart(self) -> float:
        """How far any one value moves."""
        return _largest(self.high.astype(np.float64) - self.low.astype(np.float64))

    @property
    def size(self) -> float:
        """The largest magnitude of any value."""
        return max(_largest(self.low), _largest(self.high))

    @property
    def middle(self) -> AnyArray:
        """Halfway between, in the same type."""
        if self.exact:
            return self.low
        between: DoubleArray = (self.low.astype(np.float64) + self.high.astype(np.float64)) / 2
        return between.astype(self.low.dtype)


def _largest(values: AnyArray) -> float:
    return float(np.abs(values.astype(np.float64)).max(initial=0))


def _ranges(
    proto: onnx.ModelProto,
    signature: Signature,
    names: Sequence[str],
    inputs: Iterable[AnyArray],
    machine: Machine,
) -> dict[str, _Range]:
    """What tensors are on some images."""
    found: dict[str, _Range] = {}
    if not names:
        return found
    runner = open_runner(with_outputs(proto, *names), machine)
    for one in inputs:
        for name, values in zip(names, runner.run({signature.input: one}), strict=True):
            found[name] = found.get(name, _Range(values, values)).with_more(values)
    return found


def _is_still(name: str, met: Iterable[str], ranges: Mapping[str, _Range]) -> bool:
    """Whether a tensor all but does not move, beside its size or beside what it meets.

    Of truth values and indices only those that do not move at all. The image itself moves.
    """
    own = ranges.get(name)
    if own is None or not own.low.size:
        return False
    if own.exact:
        return True
    if own.low.dtype.kind != "f" or not np.isfinite(own.size):
        return False
    others = [ranges[other].apart for other in met if other != name and other in ranges]
    return own.apart <= _STILL * max((own.size, *others))


def _behind_weights(paths: DataPaths) -> set[str]:
    """Names of what has passed a layer with weights."""
    found: set[str] = set()
    for node in paths.nodes:
        if operator(node) in WEIGHTED or any(value.name in found for value in paths.inputs(node)):
            found |= {value.name for value in node.outputs}
    return found


def _quantises(reader: gs.Node, value: gs.Variable) -> bool:
    """Whether a value is the scale or the zero point of numbers quantised on the way.

    Behind a ReLU the lowest is always 0.
    """
    makers = [operator(node) for node in value.inputs]
    return "DynamicQuantizeLinear" in makers and operator(reader) in _INTEGERS


def _operand(
    proto: onnx.ModelProto,
    graph: gs.Graph,
    paths: DataPaths,
    name: str,
    seen: _Range,
    readers: Sequence[gs.Node],
) -> ConstantOperand:
    branch, place_of = _branch(graph, paths, name, readers), _places(proto)
    given = [value.name for node in reversed(branch) for value in paths.inputs(node)]
    made = {value.name for node in branch for value in node.outputs}
    met = {value.name for node in readers for value in paths.inputs(node)} - {name}
    deep = _behind_weights(paths)
    return ConstantOperand(
        tensor=name,
        value=seen.middle,
        apart=0.0 if seen.exact else max(seen.apart, float(np.finfo(np.float32).tiny)),
        readers=tuple(place_of[node.outputs[0].name] for node in readers),
        branch=tuple(place_of[node.outputs[0].name] for node in branch),
        ways=tuple(way for way in dict.fromkeys((name, *given)) if way != paths.image),
        bypass=not deep.intersection(set(given) - made) and bool(deep & met),
        said=f"what {said(graph.tensors()[name].inputs[0])} gives to {said(readers[0])}",
    )


def _effect(
    proto: onnx.ModelProto,
    signature: Signature,
    operand: ConstantOperand,
    inputs: Sequence[AnyArray],
    before: AnyArray,
    machine: Machine,
) -> float:
    """The largest change of scores by freezing an operand, beside their range."""
    frozen = folded(proto, [operand], signature.input, signature.batch)
    try:
        after = _scores(frozen, signature, inputs, machine)
    except ModelError:
        return np.inf  # It cannot be frozen.
    return float(np.abs(after - before).max() / max(float(np.ptp(before)), 1e-12))


def _scores(
    proto: onnx.ModelProto, signature: Signature, inputs: Sequence[AnyArray], machine: Machine
) -> AnyArray:
    runner = open_runner(with_outputs(proto, signature.output), machine)
    found: AnyArray = np.concatenate([runner.run({signature.input: one})[0] for one in inputs])
    return found


def _places(proto: onnx.ModelProto) -> dict[str, int]:
    """Which of the model's nodes gives a tensor."""
    return {name: place for place, node in enumerate(proto.graph.node) for name in node.output}


def _branch(
    graph: gs.Graph, paths: DataPaths, name: str, readers: Sequence[gs.Node]
) -> list[gs.Node]:
    """The nodes that lead to a tensor's readers and nowhere else, in running order."""
    given = {value.name for value in graph.outputs}
    leading = {id(node) for node in paths.nodes}
    branch: list[gs.Node] = []
    for node in reversed(paths.before(graph.tensors()[name])):
        serves = all(
            any(reader is one for one in (*branch, *(readers if value.name == name else ())))
            for value in node.outputs
            for reader in value.outputs
            if id(reader) in leading
        )
        if serves and not given & {value.name for value in node.outputs}:
            branch.append(node)
    return branch[::-1]
