"""What removed places would hold if their channels were zeroed instead.

A sigmoid makes 0.5 of a zeroed channel, a BatchNorm its shift, a depthwise convolution its bias:
the same number in every image and at every position, which the layer that reads it can be given
with its bias instead.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx.reference import ReferenceEvaluator

from hardener.arrays import AnyArray, DoubleArray
from hardener.model.channel_flow import (
    PRODUCTS,
    SUMS,
    CannotFollowError,
    Shapes,
    zero_stays_within,
)
from hardener.model.operators import MOVES, ZERO_TO_ZERO, operator, said
from hardener.model.rewrites.cuts import BROADCAST, PER_CHANNEL, QUANTISES, Cut, Cuts
from hardener.model.weights import constant_of

_LEAVE_CONSTANTS = frozenset(
    {
        "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReduceMax", "ReduceMean", "ReduceMin",
    }
)  # fmt: skip
"""Of one number everywhere they give that number; what pads a MaxPool is never the maximum."""


def left_by(
    node: gs.Node, given: Cuts, moved: Cut, shapes: Shapes, opsets: Mapping[str, int]
) -> Cut:
    """The cut of what a node gives, with what the removed places would hold there.

    Args:
        node: no layer with weights.
        given: the cuts of its inputs; `left` is None for one of which nothing is known.
        moved: the cut of its output, with `left` as if values were only moved.
        shapes: of every tensor, as observed in one run.
        opsets: the model's opset for each domain.

    Raises:
        CannotFollowError: they would not hold the same in all images and at all positions, or
            it is not known what.
    """
    if operator(node) in MOVES:
        return moved
    if _keeps_zeros(node, given):
        return replace(moved, left=np.zeros(len(moved.gone)))
    if operator(node) in _LEAVE_CONSTANTS:
        return moved
    if operator(node) in (BROADCAST | PER_CHANNEL) - QUANTISES:
        return replace(moved, left=_computed(node, given, moved, shapes, opsets))
    raise CannotFollowError(f"{said(node)} makes more than one number of a zeroed channel")


def _keeps_zeros(node: gs.Node, given: Cuts) -> bool:
    """Whether zeroed channels are zero behind a node, too, whatever else it reads."""
    op = operator(node)
    zero = {position for position, cut in given.items() if cut.vanishes}
    if op in PRODUCTS:
        return bool(zero)
    if op in SUMS:
        return zero.issuperset(SUMS[op] or range(len(node.inputs)))
    if op == "Div":
        return 0 in zero and 1 not in given
    if op == "Clip":
        return 0 in zero and zero_stays_within(node)
    if op in ZERO_TO_ZERO:
        return 0 in zero
    return op not in BROADCAST | PER_CHANNEL and len(zero) == len(given)


def _computed(
    node: gs.Node, given: Cuts, moved: Cut, shapes: Shapes, opsets: Mapping[str, int]
) -> DoubleArray:
    """The node run on what its inputs would hold at the removed places."""
    rank = len(shapes[node.outputs[0].name])
    feeds = {
        f"input {position}": _held(node, position, given, moved, rank)
        for position, value in enumerate(node.inputs)
        if value.name
    }
    names = [f"input {p}" if value.name else "" for p, value in enumerate(node.inputs)]
    try:
        alone = onnx.helper.make_node(
            node.op, names, ["output"], domain=node.domain or "", **node.attrs
        )
        graph = onnx.helper.make_graph(
            [alone],
            "one node",
            [onnx.ValueInfoProto(name=name) for name in feeds],
            [onnx.ValueInfoProto(name="output")],
        )
        imports = [onnx.helper.make_opsetid(*item) for item in opsets.items()]
        model = onnx.helper.make_model(graph, opset_imports=imports)
        (found,) = ReferenceEvaluator(model).run(None, feeds)
        held = np.asarray(found, np.float64).reshape(np.count_nonzero(moved.gone))
    except Exception as error:  # whatever onnx's own implementations raise
        raise CannotFollowError(
            f"what {said(node)} makes of a zeroed channel is not known"
        ) from error
    if not np.isfinite(held).all():
        raise CannotFollowError(f"{said(node)} makes nothing finite of a zeroed channel")
    left = np.zeros(len(moved.gone))
    left[moved.gone] = held
    return left


def _held(node: gs.Node, position: int, given: Cuts, moved: Cut, rank: int) -> AnyArray:
    """What one input would hold at the removed places, with one position and one image."""
    values = constant_of(node.inputs[position])
    if values is None:
        cut = given.get(position)
        if cut is None or cut.left is None:
            raise CannotFollowError(f"{said(node)} joins it with values that differ by image")
        form = [-1 if axis == moved.axis else 1 for axis in range(rank)]
        return cut.left[cut.gone].reshape(form)
    if values.dtype.kind in "fV":  # numpy knows bfloat16 as V
        values = values.astype(np.float64)
    if operator(node) in PER_CHANNEL:
        return values[moved.gone]
    axis = moved.axis - (rank - values.ndim)
    if axis >= 0 and values.shape[axis] > 1:
        values = values.compress(moved.gone, axis)
    if any(size > 1 for place, size in enumerate(values.shape) if place != axis):
        raise CannotFollowError(f"{said(node)} gives another number at each position")
    return values
