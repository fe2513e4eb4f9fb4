"""What is known of ONNX operators: which carry weights, which only move values, which keep zero.

An operator is named as its domain's standard operator (`Conv`) or with its domain in front
(`com.microsoft::FusedConv`), so that a foreign operator never passes for a standard one.
"""

from dataclasses import dataclass

import onnx_graphsurgeon as gs
from onnx_graphsurgeon.logger import G_LOGGER

# Its warnings would go to standard output, between the results.
G_LOGGER.severity = G_LOGGER.CRITICAL

PARAMETER_PREFIX = "hardener_"
"""Inputs so named are parameters of a pruning: one a run, not one an image."""
ALARM_OUTPUT = f"{PARAMETER_PREFIX}alarm"
"""Output of a guarded model: how many channels it zeroed on each image, (N,) int64."""
NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid"})

ZERO_TO_ZERO = frozenset(
    {
        "Abs", "Cast", "Ceil", "Celu", "Dropout", "Elu", "Erf", "Floor", "Gelu", "HardSwish",
        "Identity", "LeakyRelu", "Mish", "Neg", "PRelu", "Relu", "Round", "Selu",
        "Sign", "Sin", "Sinh", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
        "com.microsoft::FastGelu", "com.microsoft::Gelu", "com.microsoft::QLinearLeakyRelu",
        "com.microsoft::QuickGelu", "DequantizeLinear", "QuantizeLinear",
        "com.microsoft::DequantizeLinear", "com.microsoft::QuantizeLinear",
    }
)  # fmt: skip
"""Of their first input: f(0) = 0; the other inputs are parameters. For integers, 0 is what
dequantises to it."""

POOLS = frozenset(
    {
        "AveragePool", "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "LpPool", "MaxPool",
        "com.microsoft::QLinearAveragePool", "com.microsoft::QLinearGlobalAveragePool",
    }
)  # fmt: skip
REDUCTIONS = frozenset(
    {
        "ReduceL1", "ReduceL2", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
        "ReduceSumSquare", "com.microsoft::QLinearReduceMean",
    }
)  # fmt: skip
MOVES = frozenset(
    {
        "Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Reshape", "Slice",
        "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
    }
)  # fmt: skip
COPIES = frozenset(
    {"Cast", "DequantizeLinear", "Dropout", "Identity", "Pad", "com.microsoft::DequantizeLinear"}
)
SIZES = frozenset({"Shape", "Size"})
"""What follows from these is told by sizes alone, not by values."""
GATES = frozenset({"HardSigmoid", "Sigmoid"})
ATTENTION = frozenset(
    {
        "Attention", "com.microsoft::Attention", "com.microsoft::MultiHeadAttention",
        "com.microsoft::PackedMultiHeadAttention", "com.microsoft::QAttention",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Weighted:
    """A layer with weights: where its inputs are.

    Attributes:
        kind: conv, gemm or matmul.
        data: position of the activation; a matmul's activation and weight may be swapped.
        weight: position of the weight.
        bias: position of the bias, None where it has none.
        scale: position of the weight's scale in quantised layers.
        zero_point: position of the weight's zero point there.
        addend: position of a tensor that is added before the activation (a fused residual).
    """

    kind: str
    data: int = 0
    weight: int = 1
    bias: int | None = 2
    scale: int | None = None
    zero_point: int | None = None
    addend: int | None = None


WEIGHTED: dict[str, Weighted] = {
    "Conv": Weighted("conv"),
    "ConvInteger": Weighted("conv", bias=None, zero_point=3),
    "ConvTranspose": Weighted("conv-transpose"),
    "Gemm": Weighted("gemm"),
    "MatMul": Weighted("matmul", bias=None),
    "MatMulInteger": Weighted("matmul", bias=None, zero_point=3),
    "QLinearConv": Weighted("conv", weight=3, bias=8, scale=4, zero_point=5),
    "QLinearMatMul": Weighted("matmul", weight=3, bias=None, scale=4, zero_point=5),
    "com.microsoft::FusedConv": Weighted("conv", addend=3),
    "com.microsoft::FusedGemm": Weighted("gemm"),
    "com.microsoft::FusedMatMul": Weighted("matmul", bias=None),
    "com.microsoft::QGemm": Weighted("gemm", weight=3, bias=6, scale=4, zero_point=5),
    "com.microsoft::QLinearConv": Weighted("conv", weight=3, bias=8, scale=4, zero_point=5),
}

OUTPUT_QUANTISATION: dict[str, tuple[int, int]] = {
    "QuantizeLinear": (1, 2),
    "QLinearConv": (6, 7),
    "QLinearMatMul": (6, 7),
    "com.microsoft::QGemm": (7, 8),
    "com.microsoft::QLinearAdd": (6, 7),
    "com.microsoft::QLinearAveragePool": (3, 4),
    "com.microsoft::QLinearConcat": (0, 1),
    "com.microsoft::QLinearConv": (6, 7),
    "com.microsoft::QLinearGlobalAveragePool": (3, 4),
    "com.microsoft::QLinearLeakyRelu": (3, 4),
    "com.microsoft::QLinearMul": (6, 7),
    "com.microsoft::QLinearSigmoid": (3, 4),
    "com.microsoft::QuantizeLinear": (1, 2),
}
"""Where an operator that gives integers has the scale and the zero point of what it gives."""


def operator(node: gs.Node) -> str:
    """The operator's name, with its domain where that is not the standard one."""
    return node.op if node.domain in (None, "", "ai.onnx") else f"{node.domain}::{node.op}"


def said(node: gs.Node) -> str:
    """How a message names a node: by its name, else by what it gives."""
    name = node.name or (node.outputs[0].name if node.outputs else "?")
    return f"node {name!r} ({operator(node)})"


def present(node: gs.Node, position: int | None) -> bool:
    """Whether a node has an input at this position."""
    return position is not None and position < len(node.inputs) and node.inputs[position].name != ""
