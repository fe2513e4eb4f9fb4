"""Whether a model's work depends on how many pixels it gets, and never on their values.

A graph can let pixels decide how large its tensors are or how often a loop runs, so that one run
proves nothing about the next. No image classifier needs that, and such a graph is refused. What
passes has, for a given shape of its input, the same shapes and the same work on every image.
"""

from collections.abc import Container, Iterable, Mapping

import onnx
from onnx.inliner import inline_local_functions

from hardener.errors import ModelError

# Inputs whose values, and not only whose shapes, decide the shape of what the operator gives.
_SIZES: Mapping[str, tuple[int, ...]] = {
    "AffineGrid": (1,), "BlackmanWindow": (0,), "CenterCropPad": (1,), "Col2Im": (1, 2),
    "Compress": (1,), "ConstantOfShape": (0,), "DFT": (1, 2),
    "Expand": (1,), "HammingWindow": (0,), "HannWindow": (0,), "ImageDecoder": (0,),
    "MaxUnpool": (2,), "MelWeightMatrix": (0, 1), "NonMaxSuppression": (0, 1, 2, 3, 4),
    "NonZero": (0,), "OneHot": (1,), "Pad": (1, 3), "Range": (0, 1, 2), "Reshape": (1,),
    "Resize": (1, 2, 3), "STFT": (1, 2, 3), "SequenceAt": (1,), "SequenceErase": (1,),
    "SequenceInsert": (2,), "Slice": (1, 2, 3, 4), "Split": (1,), "SplitToSequence": (1,),
    "Squeeze": (1,), "Tile": (1, 2), "TopK": (1,), "Unique": (0,), "Unsqueeze": (1,),
    "Upsample": (1,),
}  # fmt: skip
_REDUCTIONS = "Reduce"
_RANDOM = frozenset(
    {
        "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
        "RandomUniformLike",
    }
)  # fmt: skip
# Of onnxruntime's own operators those whose result has a size that only sizes decide.
_MICROSOFT = frozenset(
    {
        "Attention", "BiasAdd", "BiasDropout", "BiasGelu", "BiasSoftmax", "BiasSplitGelu",
        "DequantizeLinear", "DynamicQuantizeMatMul", "EmbedLayerNormalization", "FastGelu",
        "FusedConv", "FusedGemm", "FusedMatMul", "FusedMatMulActivation", "GatherND", "Gelu",
        "GemmFastGelu", "GemmFloat8", "GridSample", "GroupNorm", "Inverse",
        "LongformerAttention", "MatMulBnb4", "MatMulFpQ4", "MatMulInteger16",
        "MatMulIntegerToFloat", "MatMulNBits", "MoE", "MulInteger", "MultiHeadAttention",
        "NhwcConv", "NhwcFusedConv", "NhwcMaxPool", "PackedAttention", "PackedMultiHeadAttention",
        "QAttention", "QEmbedLayerNormalization", "QGemm", "QLinearAdd", "QLinearAveragePool",
        "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool", "QLinearLeakyRelu",
        "QLinearMul", "QLinearReduceMean", "QLinearSigmoid", "QLinearSoftmax", "QLinearWhere",
        "QMoE", "QOrderedAttention", "QOrderedGelu", "QOrderedLayerNormalization",
        "QOrderedMatMul", "QuantizeLinear", "QuickGelu", "ReduceSumInteger",
        "RelativePositionBias", "GatedRelativePositionBias", "RotaryEmbedding",
        "SimplifiedLayerNormalization", "SkipGroupNorm", "SkipLayerNormalization",
        "SkipSimplifiedLayerNormalization", "TransposeMatMul", "Trilu",
    }
)  # fmt: skip
_MEASURES = frozenset({"SequenceLength", "Shape", "Size"})


def require_fixed_sizes(proto: onnx.ModelProto) -> None:
    """Refuses a model whose tensor sizes or whose amount of work depend on pixel values.

    Values are followed from the inputs through every node; `Shape` and `Size` end the trail.

    Args:
        proto: a checked model.

    Raises:
        ModelError: a node loops or branches, is random, or takes a size from pixel values; it is
            named.
    """
    if proto.functions:
        proto = inline_local_functions(proto)
    weights = {tensor.name for tensor in proto.graph.initializer}
    tainted = {value.name for value in proto.graph.input} - weights
    off = _constant_false(proto.graph)
    for node in proto.graph.node:
        if any(item.graphs or item.HasField("g") for item in node.attribute):
            raise ModelError(
                f"node {node.name!r} ({node.op_type}) runs a part of the model again or not at "
                "all: loops and branches are not supported, export the model without"
            )
        if node.domain == "com.microsoft" and node.op_type not in _MICROSOFT:
            raise ModelError(
                f"node {node.name!r} (com.microsoft::{node.op_type}) is not among onnxruntime's "
                "operators whose work is known to depend on sizes alone: export the model "
                "without it"
            )
        _require_untainted(node, _SIZES.get(node.op_type, ()), tainted)
        if node.op_type.startswith(_REDUCTIONS):
            _require_untainted(node, (1,), tainted)
        if node.op_type in _RANDOM or _drops(node, off):
            raise ModelError(
                f"node {node.name!r} ({node.op_type}) is random: no two runs are alike, export the "
                "model for inference"
            )
        reads = any(name in tainted for name in node.input)
        if reads and node.op_type not in _MEASURES:
            tainted.update(name for name in node.output if name)


def _drops(node: onnx.NodeProto, off: Container[str]) -> bool:
    """Whether a Dropout is told to drop, or may be."""
    told = node.input[2] if node.op_type == "Dropout" and len(node.input) > 2 else ""
    return bool(told) and told not in off


def _constant_false(graph: onnx.GraphProto) -> set[str]:
    given = {tensor.name: tensor for tensor in graph.initializer}
    given |= {
        node.output[0]: item.t
        for node in graph.node
        if node.op_type == "Constant"
        for item in node.attribute
        if item.name == "value"
    }
    return {
        name
        for name, tensor in given.items()
        if tensor.data_type == onnx.TensorProto.BOOL
        and not onnx.numpy_helper.to_array(tensor).any()
    }


def _require_untainted(node: onnx.NodeProto, positions: Iterable[int], tainted: set[str]) -> None:
    for position in positions:
        if position < len(node.input) and node.input[position] in tainted:
            raise ModelError(
                f"node {node.name!r} ({node.op_type}) takes a size from "
                f"{node.input[position]!r}, which depends on the values of the pixels: no bound "
                "on its work can be told"
            )
