"""Quantised and fused operators against onnxruntime, and the gradient through the rounding."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from support.operators import Case, check, network_of

from hardener.arrays import AnyArray

U8, I8 = np.uint8, np.int8


def _whole(shape: tuple[int, ...], kind: type = I8, seed: int = 3) -> AnyArray:
    bounds = np.iinfo(kind)
    return (
        np.random.default_rng(seed).integers(bounds.min // 2, bounds.max // 2, shape).astype(kind)
    )


def _zero(value: int, kind: type = U8) -> AnyArray:
    return np.array(value, kind)


X = {"xs": 0.05, "xz": _zero(120)}
Y = {"ys": 0.1, "yz": _zero(110)}
TO_U8 = "q = QuantizeLinear(x, xs, xz)\n"
FROM_U8 = "\ny = DequantizeLinear(r, ys, yz)"
CONV: dict[str, object] = {
    **X,
    **Y,
    "w": _whole((4, 3, 3, 3)),
    "ws": 0.01,
    "wz": _zero(0, I8),
    "b": np.array([100, -200, 3000, 0], np.int32),
}
GEMM: dict[str, object] = {
    **X,
    **Y,
    "w": _whole((7, 4), U8),
    "ws": 0.02,
    "wz": _zero(60),
    "c": np.array([100, -200, 300, 0], np.int32),
}

# A sum at the middle between two steps may round either way: one step of y is allowed.
CASES: dict[str, Case] = {
    "QuantizeLinear": Case(f"{TO_U8}y = DequantizeLinear(q, xs, xz)", dict(X)),
    "QuantizeLinear read twice": Case(
        f"{TO_U8}a = DequantizeLinear(q, xs, xz)\nb = DequantizeLinear(q, ys, xz)\ny = Add(a, b)",
        X | Y,
    ),
    "QuantizeLinear no zero": Case(
        "q = QuantizeLinear(x, xs)\ny = DequantizeLinear(q, xs)", {"xs": 0.02}
    ),
    "QuantizeLinear int8": Case(
        "q = QuantizeLinear(x, xs, z)\ny = DequantizeLinear(q, xs, z)",
        {"xs": 0.01, "z": _zero(3, I8)},
    ),
    "QuantizeLinear axis": Case(
        "q = QuantizeLinear<axis=1>(x, s, z)\ny = DequantizeLinear<axis=1>(q, s, z)",
        {"s": np.array([0.01, 0.02, 0.05], np.float32), "z": np.array([0, 100, 200], U8)},
    ),
    "QuantizeLinear int16": Case(
        "q = QuantizeLinear(x, xs, z)\ny = DequantizeLinear(q, xs, z)",
        {"xs": 0.001, "z": _zero(3, np.int16)},
        opset=21,
    ),
    "QuantizeLinear, pool": Case(
        f"{TO_U8}p = MaxPool<kernel_shape=[2,2], pads=[1,1,0,0]>(q)\n"
        "y = DequantizeLinear(p, xs, xz)",
        dict(X),
        tolerance=0.051,
    ),
    "DequantizeLinear weights": Case(
        "v = DequantizeLinear<axis=0>(w, s, z)\ny = Conv(x, v)",
        {"w": _whole((2, 3, 3, 3)), "s": np.array([0.01, 0.02], np.float32), "z": np.zeros(2, I8)},
    ),
    "DynamicQuantizeLinear": Case(
        "q, s, z = DynamicQuantizeLinear(x)\ny = DequantizeLinear(q, s, z)",
        tolerance=0.02,
        smooth=False,
    ),
    "ConvInteger": Case(
        f"{TO_U8}i = ConvInteger<pads=[1,1,1,1]>(q, w, xz, wz)\ny = Cast<to=1>(i)",
        X | {"w": _whole((4, 3, 3, 3), U8), "wz": _zero(60)},
    ),
    "MatMulInteger": Case(
        f"{TO_U8}i = MatMulInteger(q, w, xz, wz)\ny = Cast<to=1>(i)",
        X | {"w": _whole((7, 4)), "wz": _zero(0, I8)},
    ),
    "QLinearConv": Case(
        f"{TO_U8}r = QLinearConv<strides=[2,2], pads=[1,1,0,0]>"
        f"(q, xs, xz, w, ws, wz, ys, yz, b){FROM_U8}",
        CONV,
        tolerance=0.11,
    ),
    "QLinearConv channels": Case(
        f"{TO_U8}r = QLinearConv(q, xs, xz, w, ws, wz, ys, yz){FROM_U8}",
        CONV | {"ws": np.array([0.01, 0.02, 0.03, 0.04], np.float32), "wz": np.zeros(4, I8)},
        tolerance=0.11,
    ),
    "QLinearMatMul": Case(
        f"{TO_U8}r = QLinearMatMul(q, xs, xz, w, ws, wz, ys, yz){FROM_U8}", GEMM, tolerance=0.11
    ),
    "QGemm": Case(
        f"{TO_U8}r = com.microsoft.QGemm<alpha=0.5>(q, xs, xz, w, ws, wz, c, ys, yz){FROM_U8}",
        GEMM,
        shape=(3, 7),
        tolerance=0.11,
    ),
    "QGemm to float": Case(
        f"{TO_U8}y = com.microsoft.QGemm<transB=1>(q, xs, xz, w, ws, wz, c)",
        GEMM | {"w": _whole((4, 7)), "ws": np.full(4, 0.03, np.float32), "wz": np.zeros(4, I8)},
        shape=(3, 7),
    ),
    **{
        f"QLinear{op}": Case(
            f"{TO_U8}r = com.microsoft.QLinear{op}(q, xs, xz, w, ws, wz, ys, yz){FROM_U8}",
            GEMM | {"w": _whole((3, 1, 7), U8)},
            tolerance=0.11,
        )
        for op in ("Add", "Mul")
    },
    **{
        f"QLinear{op}": Case(
            f"{TO_U8}r = com.microsoft.QLinear{op}(q, xs, xz, ys, yz){FROM_U8}",
            X | Y,
            tolerance=0.11,
        )
        for op in ("Sigmoid", "LeakyRelu", "GlobalAveragePool", "AveragePool<kernel_shape=[2,2]>")
    },
    "QLinearSoftmax": Case(
        f"{TO_U8}r = com.microsoft.QLinearSoftmax<axis=-1, opset=13>(q, xs, xz, s, z)\n"
        "y = DequantizeLinear(r, s, z)",
        X | {"s": 1 / 256, "z": _zero(0)},
        tolerance=0.005,
        smooth=False,
    ),
    "QLinearConcat": Case(
        f"{TO_U8}r = com.microsoft.QLinearConcat<axis=1>(ys, yz, q, xs, xz, w, ws, wz){FROM_U8}",
        GEMM | {"w": _whole((2, 5, 6, 7), U8)},
        tolerance=0.11,
    ),
    "DynamicQuantizeMatMul": Case(
        "y = com.microsoft.DynamicQuantizeMatMul(x, w, s, z, b)",
        {"w": _whole((7, 4)), "s": 0.02, "z": _zero(0, I8), "b": (4,)},
        tolerance=0.02,
    ),
    "MatMulIntegerToFloat": Case(
        f"{TO_U8}y = com.microsoft.MatMulIntegerToFloat(q, w, xs, ws, xz, wz, b)",
        GEMM | {"b": (4,)},
    ),
    # fused by onnxruntime
    "Gelu": Case("y = com.microsoft.Gelu(x)"),
    "QuickGelu": Case("y = com.microsoft.QuickGelu<alpha=1.5>(x)"),
    "BiasGelu": Case("y = com.microsoft.BiasGelu(x, b)", {"b": (7,)}),
    "FastGelu": Case("y = com.microsoft.FastGelu(x)"),
    "FastGelu with bias": Case("y = com.microsoft.FastGelu(x, b)", {"b": (7,)}),
    **{
        f"FusedConv {name}": Case(
            f'y = com.microsoft.FusedConv<activation="{name}"{given}, pads=[1,1,1,1]>(x, w, b)',
            {"w": (5, 3, 3, 3), "b": (5,)},
        )
        for name, given in (
            ("Relu", ""),
            ("LeakyRelu", ", activation_params=[0.2]"),
            ("Clip", ", activation_params=[-0.5, 1.5]"),
            ("HardSigmoid", ", activation_params=[0.1, 0.4]"),
        )
    },
    "FusedConv with sum": Case(
        'y = com.microsoft.FusedConv<activation="Relu", pads=[1,1,1,1]>(x, w, b, x)',
        {"w": (3, 3, 3, 3), "b": (3,)},
    ),
    "FusedGemm": Case(
        'y = com.microsoft.FusedGemm<activation="LeakyRelu", activation_alpha=0.2>(x, w, b)',
        {"w": (7, 4), "b": (4,)},
        shape=(3, 7),
    ),
    "FusedMatMul": Case(
        "y = com.microsoft.FusedMatMul<alpha=0.5, transA=1, transB=1>(x, w)", {"w": (4, 6)}
    ),
    "SkipLayerNormalization": Case(
        "y = com.microsoft.SkipLayerNormalization<epsilon=0.01>(x, s, g, b, c)",
        {"s": (2, 3, 7), "g": (7,), "b": (7,), "c": (7,)},
        shape=(2, 3, 7),
    ),
    "SkipLayerNormalization and sum": Case(
        "n, , , t = com.microsoft.SkipLayerNormalization(x, s, g, b)\ny = Mul(n, t)",
        {"s": (2, 3, 7), "g": (7,), "b": (7,)},
        shape=(2, 3, 7),
    ),
    "SkipSimplifiedLayerNormalization": Case(
        "y = com.microsoft.SkipSimplifiedLayerNormalization<epsilon=0.01>(x, s, g)",
        {"s": (2, 3, 7), "g": (7,)},
        shape=(2, 3, 7),
    ),
    "Attention": Case(
        "y = com.microsoft.Attention<num_heads=2>(x, w, b)",
        {"w": (8, 24), "b": (24,)},
        shape=(2, 3, 8),
    ),
    "Attention causal": Case(
        "y = com.microsoft.Attention<num_heads=2, unidirectional=1>(x, w, b)",
        {"w": (8, 24), "b": (24,)},
        shape=(2, 3, 8),
    ),
    "MultiHeadAttention": Case(
        "y = com.microsoft.MultiHeadAttention<num_heads=2>(x, k, v, b)",
        {"k": (2, 5, 8), "v": (2, 5, 8), "b": (24,)},
        shape=(2, 3, 8),
    ),
    "MultiHeadAttention biased": Case(
        "y = com.microsoft.MultiHeadAttention<num_heads=2, scale=0.2>(x, x, x, , , a)",
        {"a": (1, 2, 3, 3)},
        shape=(2, 3, 8),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_torch_gives_what_onnxruntime_gives(name: str) -> None:
    case = CASES[name]
    check(replace(case, smooth=case.smooth and "Quantize" not in case.nodes))


def test_the_gradient_passes_straight_through_the_rounding_inside_the_range_only() -> None:
    model = Case(
        "q = QuantizeLinear(x, s, z)\ny = DequantizeLinear(q, s, z)",
        {"s": 0.1, "z": _zero(0, I8)},
        shape=(1, 4),
    ).model()
    x = torch.tensor([[0.123, -3.0, 12.9, -14.0]], requires_grad=True)
    y = network_of(model)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y.detach(), torch.tensor([[0.1, -3.0, 12.7, -12.8]]))
    assert gradient.tolist() == [[1, 1, 0, 0]]


def test_the_gradient_of_whole_numbers_is_that_of_the_real_convolution() -> None:
    weights = {**CONV, "b": np.zeros(4, np.int32)}
    case = Case(
        f"{TO_U8}r = QLinearConv(q, xs, xz, w, ws, wz, ys, yz, b){FROM_U8}",
        weights | {"ys": 1.0},
        low=-0.5,
        high=0.5,
    )
    x = torch.from_numpy(case.x()).requires_grad_()
    (gradient,) = torch.autograd.grad(network_of(case.model())(x).sum(), x)
    real = torch.from_numpy(_whole((4, 3, 3, 3)).astype(np.float32)) * 0.01
    again = torch.from_numpy(case.x()).requires_grad_()
    (expected,) = torch.autograd.grad(torch.nn.functional.conv2d(again, real).sum(), again)
    torch.testing.assert_close(gradient, expected)


def test_half_precision_is_computed_in_float32() -> None:
    model = Case("a = Cast<to=10>(x)\nb = Mul(a, w)\ny = Cast<to=1>(b)", {"w": (7,)}).model()
    halves = onnx.numpy_helper.to_array(model.graph.initializer[0]).astype(np.float16)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(halves, "w"))
    x = torch.rand((2, 3, 6, 7))
    found = network_of(model)(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, x * torch.from_numpy(halves.astype(np.float32)))
