"""Operators that reshape, pick, pad, resample and multiply, against onnxruntime."""

import pytest
from support.operators import Case, check

SCALES = [1.0, 1.0, 1.5, 2.25]
SMALLER = [1.0, 1.0, 0.6, 0.45]


def _resize(attributes: str, weights: dict[str, object], opset: int = 18) -> Case:
    inputs = "x, , s" if "s" in weights else "x, , , z"
    return Case(f"y = Resize<{attributes}>({inputs})", weights, opset=opset)


CASES: dict[str, Case] = {
    "Reshape": Case("y = Reshape(x, s)", {"s": [0, -1, 7]}),
    "Reshape allowzero": Case("y = Reshape<allowzero=1>(x, s)", {"s": [2, 18, 7]}),
    "Flatten": Case("y = Flatten(x)"),
    "Flatten 0": Case("y = Flatten<axis=0>(x)"),
    "Flatten -1": Case("y = Flatten<axis=-1>(x)"),
    "Squeeze 11": Case("y = Squeeze<axes=[0,3]>(x)", opset=11, shape=(1, 3, 4, 1)),
    "Squeeze 13": Case("y = Squeeze(x, a)", {"a": [-1]}, shape=(1, 3, 4, 1)),
    "Squeeze all": Case("y = Squeeze(x)", shape=(1, 3, 4, 1)),
    "Unsqueeze 11": Case("y = Unsqueeze<axes=[0,3]>(x)", opset=11),
    "Unsqueeze 13": Case("y = Unsqueeze(x, a)", {"a": [-1, 1]}),
    "Transpose": Case("y = Transpose<perm=[0,2,3,1]>(x)"),
    "Transpose all": Case("y = Transpose(x)"),
    "Concat": Case("a = Neg(x)\ny = Concat<axis=-1>(x, a, x)"),
    "Split 11": Case(
        "a, b, c = Split<axis=3, split=[2,1,4]>(x)\ny = Concat<axis=0>(c, c)", opset=11
    ),
    "Split 13": Case("a, b = Split<axis=3>(x, s)\ny = Neg(b)", {"s": [3, 4]}),
    "Split evenly": Case("a, b = Split<axis=2>(x)\ny = Sub(b, a)", opset=13),
    "Split num_outputs": Case("a, b = Split<axis=3, num_outputs=2>(x)\ny = Neg(b)", opset=18),
    "Expand": Case("y = Expand(x, s)", {"s": [4, 1, 3, 1, 7]}),
    "Tile": Case("y = Tile(x, r)", {"r": [1, 2, 1, 3]}),
    "Shape arithmetic": Case(
        "s = Shape(x)\nn = Gather(s, i)\nu = Unsqueeze(n, i0)\nt = Concat<axis=0>(u, r)\n"
        "y = Reshape(x, t)",
        {"i": 0, "i0": [0], "r": [-1]},
    ),
    "Shape, whole division": Case(
        "s = Shape<start=2>(x)\nh = Div(s, two)\nl = Concat<axis=0>(f, h)\ny = Slice(x, z, l)",
        {"two": [2, 2], "f": [2, 3], "z": [0, 0, 0, 0]},
    ),
    "Size": Case("n = Size(x)\nf = Cast<to=1>(n)\ny = Div(x, f)"),
    "ConstantOfShape": Case(
        "s = Shape(x)\no = ConstantOfShape<value = float[1] {2.5}>(s)\ny = Mul(x, o)"
    ),
    "Constants": Case(
        "a = Constant<value_float=2.0>()\nb = Constant<value_ints=[0,-1]>()\nc = Mul(x, a)\n"
        "y = Reshape(c, b)"
    ),
    "Range": Case(
        "s = Shape<start=3>(x)\nn = Squeeze(s)\nr = Range(z, n, o)\n"
        "f = Cast<to=1>(r)\ny = Mul(x, f)",
        {"z": 0, "o": 1},
    ),
    "CastLike": Case("i = CastLike(x, k)\ny = CastLike(i, x)", {"k": [1]}, smooth=False),
    "Cast to bool": Case("i = Cast<to=9>(x)\ny = Cast<to=1>(i)", smooth=False),
    "Cast to half": Case("i = Cast<to=10>(x)\ny = Cast<to=1>(i)", smooth=False, tolerance=1e-3),
    "Dropout 7": Case("y = Dropout<ratio=0.5>(x)", opset=7),
    "Dropout 13": Case("y = Dropout(x, r)", {"r": 0.5}),
    "DepthToSpace": Case("y = DepthToSpace<blocksize=2>(x)", shape=(2, 8, 2, 3)),
    "DepthToSpace CRD": Case('y = DepthToSpace<blocksize=2, mode="CRD">(x)', shape=(2, 8, 2, 3)),
    "SpaceToDepth": Case("y = SpaceToDepth<blocksize=2>(x)", shape=(2, 3, 4, 6)),
    "Trilu": Case("y = Trilu(x)"),
    "Trilu lower": Case("y = Trilu<upper=0>(x, k)", {"k": 1}),
    "EyeLike": Case("e = EyeLike<k=1>(x)\ny = Add(e, x)", shape=(4, 5)),
    # picking
    "Gather": Case("y = Gather<axis=1>(x, i)", {"i": [[0, -1], [2, 1]]}),
    "Gather one": Case("y = Gather<axis=-2>(x, i)", {"i": -2}),
    "GatherElements": Case(
        "y = GatherElements<axis=0>(x, i)", {"i": [[1, 0, -1], [0, 0, 1]]}, shape=(2, 3)
    ),
    "GatherND": Case("y = GatherND(x, i)", {"i": [[0, 1], [1, -1]]}),
    "GatherND batch": Case("y = GatherND<batch_dims=1>(x, i)", {"i": [[[0, 1]], [[2, 3]]]}),
    "ScatterND": Case("y = ScatterND(x, i, u)", {"i": [[0], [2]], "u": (2, 4)}, shape=(3, 4)),
    "ScatterND add": Case(
        'a = Neg(x)\nu = Slice(a, z, t)\ny = ScatterND<reduction="add">(x, i, u)',
        {"i": [[0], [0]], "z": [0], "t": [2]},
        shape=(3, 4),
        opset=18,
    ),
    "ScatterElements": Case(
        "y = ScatterElements<axis=1>(x, i, u)", {"i": [[1, -1], [0, 2]], "u": (2, 2)}, shape=(2, 4)
    ),
    "Slice 9": Case("y = Slice<starts=[1,-3], ends=[9,-1], axes=[2,3]>(x)", opset=9),
    "Slice": Case("y = Slice(x, s, e)", {"s": [0, 1], "e": [9223372036854775807, 3]}),
    "Slice steps": Case(
        "y = Slice(x, s, e, a, t)", {"s": [5, 0], "e": [1, -1], "a": [-2, 3], "t": [-2, 3]}
    ),
    "Slice backwards": Case(
        "y = Slice(x, s, e, a, t)",
        {"s": [-1], "e": [-9223372036854775808], "a": [3], "t": [-1]},
    ),
    "TopK 9": Case("y, i = TopK<k=3>(x)", opset=9),
    "TopK": Case("y, i = TopK<axis=2, largest=0>(x, k)", {"k": [2]}),
    "TopK indices": Case("v, i = TopK(x, k)\ny = Cast<to=1>(i)", {"k": [2]}, smooth=False),
    "OneHot": Case(
        "i = ArgMax<axis=1>(x)\ny = OneHot<axis=1>(i, d, v)",
        {"d": 4, "v": [0.5, 2.0]},
        smooth=False,
    ),
    "NonZero": Case("r = Relu(x)\ni = NonZero(r)\ny = Cast<to=1>(i)", smooth=False),
    # padding and resampling
    "Pad 7": Case("y = Pad<pads=[0,0,1,2,0,0,2,1], value=1.5>(x)", opset=7),
    **{
        f"Pad {mode}": Case(
            f'y = Pad<mode="{mode}">(x, p)', {"p": [0, 0, 1, 2, 0, 0, 2, 1]}, opset=19
        )
        for mode in ("constant", "reflect", "edge", "wrap")
    },
    "Pad value": Case("y = Pad(x, p, v)", {"p": [0, 1, 0, 0, 0, 0, -1, 0], "v": -3.0}),
    "Pad axes": Case("y = Pad(x, p, , a)", {"p": [1, 2, 0, 1], "a": [-1, 1]}, opset=18),
    "Upsample 7": Case('y = Upsample<mode="nearest", scales=[1.0,1.0,2.0,3.0]>(x)', opset=7),
    "Upsample 9": Case('y = Upsample<mode="linear">(x, s)', {"s": [1.0, 1.0, 2.0, 3.0]}, opset=9),
    "Resize 10": Case('y = Resize<mode="nearest">(x, s)', {"s": SCALES}, opset=10),
    "Resize 10 linear": Case('y = Resize<mode="linear">(x, s)', {"s": SCALES}, opset=10),
    **{
        f"Resize {mode} {where} {'up' if scales is SCALES else 'down'}": _resize(
            f'mode="{mode}", coordinate_transformation_mode="{where}"', {"s": scales}
        )
        for mode in ("linear", "cubic")
        for where in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
        for scales in (SCALES, SMALLER)
    },
    **{
        f"Resize nearest {where} {rounding}": _resize(
            f'mode="nearest", coordinate_transformation_mode="{where}", nearest_mode="{rounding}"',
            {"s": SCALES},
        )
        for where in ("half_pixel", "asymmetric", "align_corners")
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    },
    "Resize symmetric": _resize(
        'mode="linear", coordinate_transformation_mode="half_pixel_symmetric"', {"s": SCALES}, 19
    ),
    "Resize sizes": _resize('mode="linear"', {"z": [2, 3, 9, 4]}),
    "Resize axes": _resize('mode="cubic", axes=[3,2], cubic_coeff_a=-0.5', {"z": [9, 4]}),
    "Resize exclude_outside": _resize('mode="cubic", exclude_outside=1', {"s": SCALES}),
    "Resize antialias": _resize('mode="linear", antialias=1', {"s": SMALLER}),
    "Resize antialias without edges": _resize(
        'mode="linear", antialias=1, exclude_outside=1', {"s": SMALLER}
    ),
    "Resize antialias cubic": _resize('mode="cubic", antialias=1', {"s": SMALLER}),
    **{
        f"GridSample {mode} {padding} {corners}": Case(
            f'y = GridSample<mode="{mode}", padding_mode="{padding}", '
            f"align_corners={corners}>(x, g)",
            {"g": (2, 4, 5, 2)},
            opset=20,
        )
        for mode in ("linear", "nearest")
        for padding in ("zeros", "border", "reflection")
        for corners in (0, 1)
    },
    # products
    "MatMul": Case("y = MatMul(x, w)", {"w": (7, 4)}),
    "MatMul both": Case("t = Transpose<perm=[0,1,3,2]>(x)\ny = MatMul(x, t)"),
    "Gemm": Case("y = Gemm(x, w, c)", {"w": (7, 4), "c": (4,)}, shape=(3, 7)),
    "Gemm all": Case(
        "y = Gemm<alpha=0.5, beta=2.0, transA=1, transB=1>(x, w, c)",
        {"w": (4, 3), "c": (7, 1)},
        shape=(3, 7),
    ),
    "Gemm without c": Case("y = Gemm<transB=1>(x, w)", {"w": (4, 7)}, shape=(3, 7)),
    "Einsum": Case('y = Einsum<equation="nchw,cd->nhd">(x, w)', {"w": (3, 4)}),
    # attention
    "Attention": Case("y = Attention(x, k, v)", {"k": (2, 3, 5, 7), "v": (2, 3, 5, 4)}, opset=23),
    "Attention causal": Case(
        "y = Attention<is_causal=1, scale=0.3>(x, k, x)", {"k": (2, 3, 6, 7)}, opset=23
    ),
    "Attention masked": Case(
        "y = Attention(x, k, v, m)",
        {"k": (2, 3, 5, 7), "v": (2, 3, 5, 4), "m": (6, 5)},
        opset=23,
    ),
    "Attention packed, shared heads": Case(
        "y = Attention<q_num_heads=4, kv_num_heads=2>(x, k, v)",
        {"k": (2, 6, 8), "v": (2, 6, 8)},
        opset=23,
        shape=(2, 5, 16),
    ),
    "RotaryEmbedding": Case(
        "y = RotaryEmbedding(x, c, s, p)",
        {"c": (9, 4), "s": (9, 4), "p": [[0, 3, 8], [1, 2, 4]]},
        opset=23,
        shape=(2, 5, 3, 8),
    ),
    "RotaryEmbedding interleaved": Case(
        "y = RotaryEmbedding<interleaved=1, num_heads=2>(x, c, s)",
        {"c": (2, 3, 4), "s": (2, 3, 4)},
        opset=23,
        shape=(2, 3, 16),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_torch_gives_what_onnxruntime_gives(name: str) -> None:
    check(CASES[name])
