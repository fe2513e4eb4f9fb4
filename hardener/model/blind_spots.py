"""What a search by gradients cannot see in a graph."""

import onnx
import onnx_graphsurgeon as gs

from hardener.model.operators import operator, said
from hardener.model.paths import data_paths
from hardener.model.signature import Signature
from hardener.model.weightless import weightless

_STEPS = frozenset(
    {
        "And", "ArgMax", "ArgMin", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Ceil",
        "Equal", "Floor", "Greater", "GreaterOrEqual", "Hardmax", "IsInf", "IsNaN", "Less",
        "LessOrEqual", "Mod", "Not", "OneHot", "Or", "Round", "Sign", "Xor",
    }
)  # fmt: skip
"""What they give does not change with small changes of what they are given."""

_REAL = frozenset(
    {
        onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
    }
)  # fmt: skip


def blind_spots(proto: onnx.ModelProto, signature: Signature) -> tuple[str, ...]:
    """Sentences on operators between the images and the class scores that have no slope.

    A trigger behind them cannot be found by gradients. Quantisation rounds too, but its gradient
    passes straight through.

    Args:
        proto: the model.
        signature: its input and output.
    """
    graph = gs.import_onnx(weightless(proto))
    nodes = data_paths(graph, signature.input, signature.output).nodes
    steps = [said(node) for node in nodes if _is_step(node)]
    if not steps:
        return ()
    return (
        f"{steps[0]}{f' and {len(steps) - 1} more' if steps[1:] else ''} computes without a slope: "
        "a trigger that works through it cannot be found by the search",
    )


def _is_step(node: gs.Node) -> bool:
    if operator(node) == "Cast":
        return int(node.attrs.get("to", onnx.TensorProto.FLOAT)) not in _REAL
    return operator(node) in _STEPS
