"""Every operator against onnxruntime, in the versions where its meaning changed."""

import numpy as np
import pytest
from support.operators import Case, check

SMOOTH_UNARY = [
    "Abs", "Atan", "Asinh", "Celu", "Cos", "Cosh",
    "Elu", "Erf", "Exp", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Mish", "Neg", "Relu", "Selu", "Sigmoid",
    "Sin", "Sinh", "Softplus", "Softsign", "Tanh", "ThresholdedRelu",
]  # fmt: skip
OPSETS = {"Mish": 18}
INSIDE = {
    "Acos": (-0.9, 0.9),
    "Asin": (-0.9, 0.9),
    "Atanh": (-0.9, 0.9),
    "Acosh": (1.1, 3.0),
    "Log": (0.2, 3.0),
    "Reciprocal": (0.5, 3.0),
    "Sqrt": (0.2, 3.0),
    "Tan": (-1.0, 1.0),
}
W = {"w": (5, 3, 3, 3), "b": (5,)}

CASES: dict[str, Case] = {
    **{op: Case(f"y = {op}(x)", opset=OPSETS.get(op, 17)) for op in SMOOTH_UNARY},
    **{op: Case(f"y = {op}(x)", low=low, high=high) for op, (low, high) in INSIDE.items()},
    **{
        op: Case(f"y = {op}(x)", smooth=False)
        for op in ("Ceil", "Floor", "Round", "Shrink", "Sign")
    },
    **{op: Case(f"y = {op}(x, w)", {"w": (3, 1, 1)}) for op in ("Add", "Sub", "Mul", "Div")},
    **{
        f"{op} of {count}": Case(f"y = {op}({', '.join(['x', 'w', 'v'][:count])})", weights)
        for op in ("Sum", "Mean", "Max", "Min")
        for count, weights in ((1, {}), (2, {"w": (7,)}), (3, {"w": (7,), "v": (3, 1, 1)}))
    },
    "Clip 6": Case("y = Clip<min=-0.5, max=0.7>(x)", opset=7),
    "Clip 13": Case("y = Clip(x, l, h)", {"l": -0.5, "h": 0.7}),
    "Clip 13 above": Case("y = Clip(x, , h)", {"h": 0.7}),
    "Celu alpha": Case("y = Celu<alpha=2.0>(x)"),
    "Elu alpha": Case("y = Elu<alpha=0.3>(x)"),
    "Gelu": Case("y = Gelu(x)", opset=20),
    "Gelu tanh": Case('y = Gelu<approximate="tanh">(x)', opset=20),
    "HardSigmoid alpha": Case("y = HardSigmoid<alpha=0.4, beta=0.3>(x)"),
    "LeakyRelu alpha": Case("y = LeakyRelu<alpha=0.3>(x)"),
    "PRelu": Case("y = PRelu(x, s)", {"s": (3, 1, 1)}),
    "Pow 2": Case("y = Pow(x, e)", {"e": 2.0}),
    "Pow of whole": Case("y = Pow(x, e)", {"e": 3}),
    "Pow tensor": Case("y = Pow(x, e)", {"e": (7,)}, low=0.5),
    "Selu alpha": Case("y = Selu<alpha=1.5, gamma=1.2>(x)"),
    "Shrink both": Case("y = Shrink<lambd=0.4, bias=0.2>(x)"),
    "Swish": Case("y = Swish(x)", opset=24),
    "ThresholdedRelu alpha": Case("y = ThresholdedRelu<alpha=0.3>(x)"),
    "Mod": Case("y = Mod<fmod=1>(x, d)", {"d": 0.7}),
    "Where": Case("m = Greater(x, w)\ny = Where(m, x, w)", {"w": (7,)}),
    "logic": Case(
        "a = Less(x, w)\nb = GreaterOrEqual(x, v)\nc = And(a, b)\nd = Not(c)\ne = Xor(d, a)\n"
        "f = Or(e, b)\ng = LessOrEqual(x, v)\nh = Equal(f, g)\ny = Cast<to=1>(h)",
        {"w": (7,), "v": 0.0},
        smooth=False,
    ),
    "IsNaN": Case("r = Sqrt(x)\na = IsNaN(r)\ny = Cast<to=1>(a)", smooth=False),
    "IsInf": Case(
        "z = Mul(x, big)\nd = Exp(z)\na = IsInf<detect_negative=0>(d)\ny = Cast<to=1>(a)",
        {"big": 500.0},
        smooth=False,
    ),
    # convolution
    "Conv": Case("y = Conv<kernel_shape=[3,3]>(x, w, b)", W),
    "Conv no attributes": Case("y = Conv(x, w)", {"w": (5, 3, 3, 3)}),
    "Conv strides, dilations, sides": Case(
        "y = Conv<strides=[2,1], dilations=[1,2], pads=[1,0,2,3]>(x, w, b)", W
    ),
    "Conv groups": Case("y = Conv<group=3, pads=[1,1,1,1]>(x, w)", {"w": (6, 1, 3, 3)}),
    "Conv 1d": Case("y = Conv<pads=[1,2]>(x, w, b)", {"w": (5, 3, 3), "b": (5,)}, shape=(2, 3, 9)),
    "Conv 3d": Case(
        "y = Conv<pads=[1,1,1,1,1,1]>(x, w)", {"w": (2, 3, 3, 3, 3)}, shape=(1, 3, 4, 5, 6)
    ),
    **{
        f"Conv {pad}": Case(f'y = Conv<auto_pad="{pad}", strides=[2,2]>(x, w, b)', W)
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")
    },
    "ConvTranspose": Case("y = ConvTranspose(x, w, b)", {"w": (3, 4, 3, 3), "b": (4,)}),
    "ConvTranspose all": Case(
        "y = ConvTranspose<strides=[2,3], pads=[1,0,2,1], output_padding=[1,2], "
        "dilations=[1,2]>(x, w)",
        {"w": (3, 4, 3, 3)},
    ),
    "ConvTranspose groups": Case(
        "y = ConvTranspose<group=3, strides=[2,2]>(x, w, b)", {"w": (3, 2, 3, 3), "b": (6,)}
    ),
    "ConvTranspose shape": Case(
        "y = ConvTranspose<strides=[2,2], output_shape=[12,15]>(x, w)", {"w": (3, 4, 3, 3)}
    ),
    **{
        f"ConvTranspose {pad}": Case(
            f'y = ConvTranspose<auto_pad="{pad}", strides=[2,2]>(x, w)', {"w": (3, 4, 3, 3)}
        )
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID")
    },
    "Col2Im": Case(
        "y = Col2Im<strides=[2,2], pads=[1,1,1,1]>(x, i, b)",
        {"i": [5, 6], "b": [3, 3]},
        opset=18,
        shape=(2, 18, 9),
    ),
    # pooling
    **{
        f"{op} {name}": Case(f"y = {op}<kernel_shape=[3,2]{given}>(x)", opset=opset)
        for op in ("MaxPool", "AveragePool", "LpPool")
        for name, given, opset in (
            ("plain", "", 11),
            ("strides", ", strides=[2,2]", 17),
            ("pads", ", strides=[2,2], pads=[1,1,1,1]", 17),
            ("sides", ", strides=[2,1], pads=[0,1,2,0]", 17),
            ("same upper", ', strides=[2,2], auto_pad="SAME_UPPER"', 17),
            ("same lower", ', strides=[2,2], auto_pad="SAME_LOWER"', 17),
        )
    },
    **{
        f"{op} {name}": Case(f"y = {op}<kernel_shape=[3,2]{given}>(x)", opset=22)
        for op in ("MaxPool", "AveragePool", "LpPool")
        for name, given in (
            ("ceil", ", strides=[2,3], ceil_mode=1"),
            ("ceil, pads", ", strides=[2,3], pads=[1,1,1,1], ceil_mode=1"),
            ("ceil, wide stride", ", strides=[4,4], pads=[1,1,1,1], ceil_mode=1"),
            ("dilations", ", dilations=[2,3]"),
        )
    },
    **{
        f"AveragePool counting {name}": Case(
            f"y = AveragePool<kernel_shape=[3,3], strides=[2,2], count_include_pad=1{given}>(x)",
            opset=opset,
        )
        for name, given, opset in (
            ("pads", ", pads=[1,1,1,1]", 7),
            ("sides", ", pads=[0,1,2,1]", 17),
            ("ceil", ", pads=[1,1,1,1], ceil_mode=1", 22),
            ("dilations", ", pads=[1,1,1,1], dilations=[2,1]", 22),
        )
    },
    "MaxPool 1d": Case("y = MaxPool<kernel_shape=[3], strides=[2]>(x)", shape=(2, 3, 9)),
    "AveragePool 3d": Case(
        "y = AveragePool<kernel_shape=[2,2,2], pads=[1,0,0,1,0,0]>(x)", shape=(1, 2, 4, 5, 6)
    ),
    "LpPool 3": Case("y = LpPool<kernel_shape=[2,2], p=3>(x)"),
    **{f"Global{op}": Case(f"y = Global{op}(x)") for op in ("AveragePool", "MaxPool", "LpPool")},
    # normalisation
    "BatchNormalization": Case(
        "y = BatchNormalization<epsilon=0.01>(x, g, b, m, var)",
        {"g": (3,), "b": (3,), "m": (3,), "var": (3,)},
    ),
    "BatchNormalization 7": Case(
        "y = BatchNormalization(x, g, b, m, var)",
        {"g": (3,), "b": (3,), "m": (3,), "var": (3,)},
        opset=7,
    ),
    "BatchNormalization after Conv": Case(
        "a = Conv<pads=[1,1,1,1]>(x, w)\ny = BatchNormalization<epsilon=0.01>(a, g, b, m, var)",
        {"w": (5, 3, 3, 3), "g": (5,), "b": (5,), "m": (5,), "var": (5,)},
    ),
    "BatchNormalization after Conv that others read": Case(
        "a = Conv<pads=[1,1,1,1]>(x, w, v)\nc = BatchNormalization(a, g, b, m, var)\ny = Add(a, c)",
        {"w": (5, 3, 3, 3), "v": (5,), "g": (5,), "b": (5,), "m": (5,), "var": (5,)},
    ),
    "BatchNormalization of weights": Case(
        "n, m, v = BatchNormalization<training_mode=1>(w, g, b, a, var)\ny = Conv(x, n)",
        {"w": (5, 3, 3, 3), "g": (3,), "b": (3,), "a": (3,), "var": (3,)},
    ),
    "InstanceNormalization": Case("y = InstanceNormalization(x, g, b)", {"g": (3,), "b": (3,)}),
    "GroupNormalization 18": Case(
        "y = GroupNormalization<num_groups=2>(x, g, b)",
        {"g": (2,), "b": (2,)},
        opset=18,
        shape=(2, 4, 3, 3),
    ),
    "GroupNormalization 21": Case(
        "y = GroupNormalization<num_groups=2>(x, g, b)",
        {"g": (4,), "b": (4,)},
        opset=21,
        shape=(2, 4, 3, 3),
    ),
    "LayerNormalization": Case("y = LayerNormalization(x, g, b)", {"g": (7,), "b": (7,)}),
    "LayerNormalization axis": Case(
        "y = LayerNormalization<axis=2, epsilon=0.1>(x, g)", {"g": (6, 7)}
    ),
    "LayerNormalization statistics": Case(
        "n, m, d = LayerNormalization(x, g)\na = Mul(n, m)\ny = Mul(a, d)", {"g": (7,)}
    ),
    "RMSNormalization": Case("y = RMSNormalization(x, g)", {"g": (7,)}, opset=23),
    "RMSNormalization axis": Case("y = RMSNormalization<axis=-2>(x, g)", {"g": (6, 7)}, opset=23),
    "SimplifiedLayerNormalization": Case(
        "y = SimplifiedLayerNormalization<axis=-1>(x, g)", {"g": (7,)}
    ),
    "MeanVarianceNormalization": Case("y = MeanVarianceNormalization(x)"),
    "LpNormalization": Case("y = LpNormalization<axis=1, p=2>(x)"),
    "LRN": Case("y = LRN<size=3, alpha=0.5, beta=0.6, bias=1.5>(x)", shape=(2, 7, 3, 4)),
    "LRN 5": Case("y = LRN<size=5>(x)", shape=(2, 7, 3, 4)),
    **{
        f"{op} {opset}{given}": Case(f"y = {op}{given}(x)", opset=opset)
        for op in ("Softmax", "LogSoftmax")
        for opset, given in ((11, ""), (11, "<axis=2>"), (13, ""), (17, "<axis=1>"))
    },
    # reductions
    **{
        f"{op} {opset}": Case(
            f"y = {op}<keepdims=0>(x, axes)" if inside else f"y = {op}<axes=[1,-1], keepdims=0>(x)",
            {"axes": [1, -1]} if inside else {},
            opset=opset,
            low=0.1,
        )
        for op in (
            "ReduceSum",
            "ReduceMean",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
            "ReduceL1",
            "ReduceL2",
            "ReduceLogSum",
            "ReduceLogSumExp",
            "ReduceSumSquare",
        )
        for opset, inside in ((11, False), (17, op == "ReduceSum"), (20, True))
    },
    "ReduceMean all": Case("y = ReduceMean(x)", opset=18),
    "ReduceSum none": Case("y = ReduceSum<noop_with_empty_axes=1>(x)"),
    "CumSum": Case("y = CumSum(x, a)", {"a": 1}),
    "CumSum exclusive, reverse": Case("y = CumSum<exclusive=1, reverse=1>(x, a)", {"a": -1}),
    **{
        f"{op}{given}": Case(f"i = {op}{given}(x)\ny = Cast<to=1>(i)", smooth=False)
        for op in ("ArgMax", "ArgMin")
        for given in ("", "<axis=2, keepdims=0>", "<axis=1, select_last_index=1>")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_torch_gives_what_onnxruntime_gives(name: str) -> None:
    check(CASES[name])


def test_the_last_of_equal_values_is_chosen_where_asked() -> None:
    check(
        Case(
            "z = Mul(x, zero)\ni = ArgMax<axis=1, select_last_index=1>(z)\ny = Cast<to=1>(i)",
            {"zero": np.zeros(1, np.float32)},
            smooth=False,
        )
    )
