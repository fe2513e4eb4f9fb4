"""Which axis of an activation holds the channels, told by the layer that made it."""

from collections.abc import Mapping

import numpy as np
import onnx_graphsurgeon as gs

from hardener.model.operators import POOLS, WEIGHTED, operator

_FIRST = frozenset(
    {"BatchNormalization", "GroupNormalization", "InstanceNormalization", "LRN"}
)  # fmt: skip
_LAST = frozenset(
    {
        "LayerNormalization", "RMSNormalization", "com.microsoft::Attention",
        "com.microsoft::BiasGelu", "com.microsoft::MultiHeadAttention",
        "com.microsoft::QAttention", "com.microsoft::SkipLayerNormalization",
    }
)  # fmt: skip
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_REDUCES = "Reduce"


def channel_axis(tensor: gs.Variable, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Follows a tensor back to the layer that made it.

    Convolutions give their channels on axis 1, matrix products on the last axis; transpositions
    and reshapes carry the axis along. Where nothing tells, it is axis 1 of four and the last of
    three or fewer.

    Args:
        tensor: an activation.
        shapes: of every tensor, as observed in one run.
    """
    steps: list[gs.Node] = []
    at = tensor
    found: int | None = None
    while found is None:
        node = at.inputs[0] if at.inputs else None
        if node is None:
            found = _default(len(shapes[at.name]))
            break
        op = operator(node)
        rank = len(shapes[at.name])
        if op in WEIGHTED:
            found = 1 if WEIGHTED[op].kind.startswith("conv") else rank - 1
        elif op in _FIRST or op in POOLS:
            found = 1
        elif op in _LAST:
            found = rank - 1
        else:
            source = _main_source(node, shapes)
            if source is None:
                found = _default(rank)
            else:
                steps.append(node)
                at = source
    for node in reversed(steps):
        source = _main_source(node, shapes)
        before = shapes[source.name] if source is not None else ()
        found = _carried(node, found, before, shapes[node.outputs[0].name])
    return found


def _main_source(node: gs.Node, shapes: Mapping[str, tuple[int, ...]]) -> gs.Variable | None:
    """The input that gives a node's output its form: the computed one of highest rank."""
    computed = [
        value
        for value in node.inputs
        if isinstance(value, gs.Variable)
        and value.inputs
        and operator(value.inputs[0]) not in ("Constant", "Shape")
        and len(shapes.get(value.name, ())) > 1
    ]
    return max(computed, key=lambda value: len(shapes[value.name]), default=None)


def _default(rank: int) -> int:
    return 1 if rank >= 4 else rank - 1


def _carried(node: gs.Node, axis: int, before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """Where an axis of a node's input lies in its output."""
    op = operator(node)
    if op == "Transpose":
        perm = list(node.attrs.get("perm", range(len(before))[::-1]))
        return perm.index(axis)
    if op in _RESHAPES or op.startswith(_REDUCES) or op == "Gather":
        size = before[axis]
        ahead = int(np.prod(before[:axis]))
        for position, length in enumerate(after):
            if length == size and int(np.prod(after[:position])) == ahead:
                return position
        if size in after[1:]:
            return len(after) - 1 - after[::-1].index(size)
        return _default(len(after))
    return axis + len(after) - len(before) if axis + len(after) - len(before) >= 0 else axis
