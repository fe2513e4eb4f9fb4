"""Breaks operators that do several things into plain ones.

Integer operators become dequantise, compute, quantise: the same numbers up to the rounding of
float32, and a gradient. onnxruntime's fused operators become their parts.
"""

from collections.abc import Callable, Sequence

import onnx

from hardener.model.differentiation.nodes import Node

_OPSET = 21
"""What the parts are read as; none of them changed its meaning since."""

Lowering = Callable[[Node], list[Node]]


def lowered(node: Node) -> list[Node]:
    """The node itself, or its parts in order."""
    table = _MICROSOFT if node.domain == "com.microsoft" else _STANDARD
    return table[node.op](node) if node.domain in _DOMAINS and node.op in table else [node]


def _part(
    whole: Node,
    op: str,
    inputs: Sequence[str],
    output: str,
    attributes: Sequence[str] = (),
    **more: object,
) -> Node:
    """A part with some of the whole's attributes and some new ones."""
    kept = {name: whole.attributes[name] for name in attributes if name in whole.attributes}
    made = {name: onnx.helper.make_attribute(name, value) for name, value in more.items()}
    return Node(whole.name, "", op, _OPSET, tuple(inputs), (output,), kept | made)


def _input(node: Node, index: int) -> str:
    return node.inputs[index] if index < len(node.inputs) else ""


def _name(node: Node, part: str) -> str:
    # No tensor of a graph can be named so: the checker refuses a name twice.
    return f"{next(filter(None, node.outputs))}#{part}"


def _back(node: Node, first: int, part: str, axis: int = 1) -> Node:
    """Dequantises the tensor whose value, scale and zero point start at an input."""
    triple = [_input(node, first + i) for i in range(3)]
    return _part(node, "DequantizeLinear", triple, _name(node, part), axis=axis)


def _quantised(node: Node, value: str, first: int) -> Node:
    """Quantises a value by the scale and zero point that start at an input."""
    inputs = [value, _input(node, first), _input(node, first + 1)]
    return _part(node, "QuantizeLinear", inputs, node.outputs[0])


def _bias(node: Node, bias: int, scales: tuple[int, int]) -> list[Node]:
    """Whole-number biases have the product of the two scales."""
    both = _part(node, "Mul", [_input(node, i) for i in scales], _name(node, "bias scale"))
    inputs = [_input(node, bias), both.outputs[0]]
    return [both, _part(node, "DequantizeLinear", inputs, _name(node, "bias"), axis=0)]


def _qlinear_conv(node: Node) -> list[Node]:
    x, weight = _back(node, 0, "x"), _back(node, 3, "w", axis=0)
    bias = _bias(node, 8, (1, 4)) if _input(node, 8) else []
    inputs = [x.outputs[0], weight.outputs[0], *(part.outputs[0] for part in bias[1:])]
    conv = _part(node, "Conv", inputs, _name(node, "y"), list(node.attributes))
    return [x, weight, *bias, conv, _quantised(node, conv.outputs[0], 6)]


def _qlinear_matmul(node: Node) -> list[Node]:
    a, b = _back(node, 0, "a", axis=-2), _back(node, 3, "b", axis=-1)
    product = _part(node, "MatMul", [a.outputs[0], b.outputs[0]], _name(node, "y"))
    return [a, b, product, _quantised(node, product.outputs[0], 6)]


def _qgemm(node: Node) -> list[Node]:
    turned = node.integer("transB", 0)
    a, b = _back(node, 0, "a"), _back(node, 3, "b", axis=0 if turned else 1)
    bias = _bias(node, 6, (1, 4)) if _input(node, 6) else []
    inputs = [a.outputs[0], b.outputs[0], *(part.outputs[0] for part in bias[1:])]
    # The bias' scale holds alpha too.
    given = {"beta": node.number("alpha", 1.0)}
    real = not _input(node, 7)
    output = node.outputs[0] if real else _name(node, "y")
    gemm = _part(node, "Gemm", inputs, output, ("alpha", "transA", "transB"), **given)
    return [a, b, *bias, gemm, *([] if real else [_quantised(node, output, 7)])]


def _qlinear_binary(op: str) -> Lowering:
    def lower(node: Node) -> list[Node]:
        a, b = _back(node, 0, "a"), _back(node, 3, "b")
        both = _part(node, op, [a.outputs[0], b.outputs[0]], _name(node, "y"))
        return [a, b, both, _quantised(node, both.outputs[0], 6)]

    return lower


def _qlinear_unary(op: str) -> Lowering:
    def lower(node: Node) -> list[Node]:
        if node.integer("channels_last", 0):
            raise node.refusal("channels_last is not supported")
        x = _back(node, 0, "x")
        y = _part(node, op, [x.outputs[0]], _name(node, "y"), list(node.attributes))
        if op == "Softmax":
            y = Node(y.name, "", op, node.integer("opset", 13), y.inputs, y.outputs, y.attributes)
        return [x, y, _quantised(node, y.outputs[0], 3)]

    return lower


def _qlinear_concat(node: Node) -> list[Node]:
    parts = [_back(node, i, f"x{i}") for i in range(2, len(node.inputs), 3)]
    inputs = [part.outputs[0] for part in parts]
    both = _part(node, "Concat", inputs, _name(node, "y"), ("axis",))
    return [*parts, both, _quantised(node, both.outputs[0], 0)]


def _dynamic_matmul(node: Node) -> list[Node]:
    """com.microsoft.DynamicQuantizeMatMul: A, B, scale and zero of B, bias."""
    quantised = tuple(_name(node, part) for part in ("q", "scale", "zero"))
    dynamic = Node(node.name, "", "DynamicQuantizeLinear", _OPSET, (node.inputs[0],), quantised, {})
    a = _part(node, "DequantizeLinear", quantised, _name(node, "a"))
    b = _back(node, 1, "b", axis=-1)
    return [dynamic, a, b, *_product(node, a.outputs[0], b.outputs[0], _input(node, 4))]


def _matmul_to_float(node: Node) -> list[Node]:
    """com.microsoft.MatMulIntegerToFloat: A, B, their scales, their zeros, bias."""
    a, b = (
        _part(
            node,
            "DequantizeLinear",
            [_input(node, i), _input(node, i + 2), _input(node, i + 4)],
            _name(node, "ab"[i]),
            axis=i - 2,
        )
        for i in (0, 1)
    )
    return [a, b, *_product(node, a.outputs[0], b.outputs[0], _input(node, 6))]


def _product(node: Node, a: str, b: str, bias: str) -> list[Node]:
    output = _name(node, "product") if bias else node.outputs[0]
    product = _part(node, "MatMul", [a, b], output)
    return [product, _part(node, "Add", [output, bias], node.outputs[0])] if bias else [product]


def _activated(node: Node, value: str, parameters: Sequence[float]) -> Node:
    name = node.text("activation", "")
    names = {"LeakyRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"], "Clip": ["min", "max"]}
    if name not in {"Relu", "Tanh", "Sigmoid", *names}:
        raise node.refusal(f"activation {name!r} is not supported")
    given = dict(zip(names.get(name, ()), parameters, strict=False))
    attributes = {key: onnx.helper.make_attribute(key, number) for key, number in given.items()}
    # Up to opset 10 the bounds of Clip are attributes.
    opset = 6 if name == "Clip" else _OPSET
    return Node(node.name, "", name, opset, (value,), (node.outputs[0],), attributes)


def _fused_conv(node: Node) -> list[Node]:
    inputs, added = node.inputs[:3], _input(node, 3)
    parts = [_part(node, "Conv", inputs, _name(node, "conv"), list(node.attributes))]
    if added:
        parts.append(_part(node, "Add", [parts[0].outputs[0], added], _name(node, "sum")))
    last = parts[-1].outputs[0]
    return [*parts, _activated(node, last, node.numbers("activation_params") or [])]


def _fused_gemm(node: Node) -> list[Node]:
    kept = ("alpha", "beta", "transA", "transB")
    gemm = _part(node, "Gemm", node.inputs, _name(node, "gemm"), kept)
    names = ("activation_alpha", "activation_beta")
    given = [node.number(name, 0.0) for name in names if node.has(name)]
    return [gemm, _activated(node, gemm.outputs[0], given)]


def _bias_gelu(approximate: str) -> Lowering:
    def lower(node: Node) -> list[Node]:
        value, parts = node.inputs[0], []
        if _input(node, 1):
            parts.append(_part(node, "Add", node.inputs[:2], _name(node, "sum")))
            value = parts[0].outputs[0]
        given = {"approximate": approximate}
        return [*parts, _part(node, "Gelu", [value], node.outputs[0], **given)]

    return lower


def _skip_norm(op: str, affine: int) -> Lowering:
    """Adds a skipped value, and a bias, then normalises; the sum may be an output."""

    def lower(node: Node) -> list[Node]:
        if any(node.outputs[1:3]):
            raise node.refusal("mean and deviation as outputs are not supported")
        bias = _input(node, 2 + affine)
        total = (*node.outputs, "", "", "", "")[3] or _name(node, "sum")
        first = _name(node, "skipped") if bias else total
        parts = [_part(node, "Add", node.inputs[:2], first)]
        if bias:
            parts.append(_part(node, "Add", [first, bias], total))
        inputs = [total, *node.inputs[2 : 2 + affine]]
        output, epsilon = node.outputs[0] or _name(node, "y"), node.number("epsilon", 1e-12)
        return [*parts, _part(node, op, inputs, output, epsilon=epsilon)]

    return lower


_STANDARD: dict[str, Lowering] = {
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
}

_MICROSOFT: dict[str, Lowering] = {
    "BiasGelu": _bias_gelu("none"),
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "FastGelu": _bias_gelu("tanh"),
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "MatMulIntegerToFloat": _matmul_to_float,
    "QGemm": _qgemm,
    "QLinearAdd": _qlinear_binary("Add"),
    "QLinearAveragePool": _qlinear_unary("AveragePool"),
    "QLinearConcat": _qlinear_concat,
    "QLinearConv": _qlinear_conv,
    "QLinearGlobalAveragePool": _qlinear_unary("GlobalAveragePool"),
    "QLinearLeakyRelu": _qlinear_unary("LeakyRelu"),
    "QLinearMul": _qlinear_binary("Mul"),
    "QLinearSigmoid": _qlinear_unary("Sigmoid"),
    "QLinearSoftmax": _qlinear_unary("Softmax"),
    "SkipLayerNormalization": _skip_norm("LayerNormalization", 2),
    "SkipSimplifiedLayerNormalization": _skip_norm("SimplifiedLayerNormalization", 1),
}

_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft"})
