"""Operands that a graph computes from the pixels and that are the same for every clean image.

Where two values meet that both depend on the image, a network adds, gates or compares what it saw.
One of the two that says nothing on any clean image has no such use. A detector that was written
into the graph is of that kind: it says nothing until its trigger comes, and then overrides
everything. Bober-Irizar et al. 2023 (Architectural Backdoors in Neural Networks, CVPR; arXiv
2206.07840) and ShadowLogic (HiddenLayer 2024) are such.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from hardener.arrays import AnyArray
from hardener.model.chosen_outputs import with_outputs
from hardener.model.operators import said
from hardener.model.paths import DataPaths, data_paths
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import Signature
from hardener.model.weightless import weightless

_FIRST_IMAGES = 8
"""Enough to tell most operands of a network as no constant."""


@dataclass(frozen=True, eq=False)
class ConstantOperand:
    """A value that meets others, and is the same for every clean image.

    Attributes:
        tensor: its name.
        value: what it is, on one image or on the fixed batch.
        readers: places among the model's nodes of those where it meets a value that changes.
        branch: places of the nodes that serve it alone, in running order.
        ways: names of what those compute from the pixels, or are given, the operand's own first.
        said: how a message names it.
    """

    tensor: str
    value: AnyArray
    readers: tuple[int, ...]
    branch: tuple[int, ...]
    ways: tuple[str, ...]
    said: str


def constant_operands(
    proto: onnx.ModelProto, signature: Signature, inputs: Iterable[AnyArray], machine: Machine
) -> tuple[ConstantOperand, ...]:
    """Finds them by running images one by one: in no layout of axes another image hides.

    After a few images all that changed is no longer looked at, which in most networks is all.

    Args:
        proto: the model.
        signature: its input and output.
        inputs: clean network inputs of one image, or of one image repeated to the fixed batch.
        machine: what runs it.
    """
    graph = gs.import_onnx(weightless(proto))
    paths = data_paths(graph, signature.input, signature.output)
    meetings = {
        node.outputs[0].name: (node, names)
        for node in paths.nodes
        if len(names := {value.name for value in paths.inputs(node)}) > 1
    }
    asked = sorted(set().union(*(names for _, names in meetings.values())) - {signature.input})
    constant = _constant(proto, signature, asked, inputs, machine)
    readers: dict[str, list[gs.Node]] = {}
    for node, names in meetings.values():
        if not names <= set(constant):
            for name in names & set(constant):
                readers.setdefault(name, []).append(node)
    tensors, place_of = graph.tensors(), _places(proto)
    found: list[ConstantOperand] = []
    for name, nodes in readers.items():
        branch = _branch(graph, paths, name, nodes)
        given = (value.name for node in reversed(branch) for value in paths.inputs(node))
        found.append(
            ConstantOperand(
                name,
                constant[name],
                tuple(place_of[node.outputs[0].name] for node in nodes),
                tuple(place_of[node.outputs[0].name] for node in branch),
                tuple(way for way in dict.fromkeys((name, *given)) if way != signature.input),
                f"what {said(tensors[name].inputs[0])} gives to {said(nodes[0])}",
            )
        )
    return tuple(found)


def _places(proto: onnx.ModelProto) -> dict[str, int]:
    """Which of the model's nodes gives a tensor."""
    return {name: place for place, node in enumerate(proto.graph.node) for name in node.output}


def _constant(
    proto: onnx.ModelProto,
    signature: Signature,
    names: Sequence[str],
    inputs: Iterable[AnyArray],
    machine: Machine,
) -> dict[str, AnyArray]:
    """Those of the tensors that are bit-identical for all inputs, with what they are."""
    found: dict[str, AnyArray] = {}
    runner = None
    for number, one in enumerate(inputs):
        if number and not found:
            break
        if number in (0, _FIRST_IMAGES):
            names = sorted(found) if number else names
            if not names:
                break
            runner = open_runner(with_outputs(proto, *names), machine)
        assert runner is not None  # noqa: S101  made for the first input
        values = dict(zip(names, runner.run({signature.input: one}), strict=True))
        if number == 0:
            found = values
        found = {
            name: value for name, value in found.items() if np.array_equal(value, values[name])
        }
    return found


def _branch(
    graph: gs.Graph, paths: DataPaths, name: str, readers: Sequence[gs.Node]
) -> list[gs.Node]:
    """The nodes that lead to a tensor's readers and nowhere else, in running order."""
    given = {value.name for value in graph.outputs}
    branch: list[gs.Node] = []
    for node in reversed(paths.before(graph.tensors()[name])):
        serves = all(
            any(reader is one for one in (*branch, *(readers if value.name == name else ())))
            for value in node.outputs
            for reader in value.outputs
        )
        if serves and not given & {value.name for value in node.outputs}:
            branch.append(node)
    return branch[::-1]
