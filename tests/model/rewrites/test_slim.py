"""Channels taken out of a graph, against the same channels multiplied by zero."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from support.graphs import (
    ALL,
    BATCH_NORM,
    BATCH_NORM_SHAPES,
    GATED,
    GATED_SHAPES,
    NHWC,
    NHWC_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    RESIDUAL,
    RESIDUAL_SHAPES,
    SHARED,
    SHARED_SHAPES,
    TRANSFORMER,
    TRANSFORMER_SHAPES,
    Shapes,
    classifier,
    images,
    saved,
    shapes_of,
)

from hardener.cli import run
from hardener.errors import ModelError
from hardener.model.quarantine import load_untrusted
from hardener.model.rewriting import PruningPlan, require_planned_logits, rewritten
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.model.topology import FeatureLayer, find_feature_layer

PRUNED = (1, 4)


def _graph(body: str) -> str:
    lines = "\n  ".join(line.strip() for line in body.strip().splitlines())
    return f"classifier (float[N,3,8,8] x) => (float[N,5] logits) {{\n  {lines}\n}}"


MADE_BY = """
  a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  feature = Relu(a)
"""
READ_BY = """
  g = GlobalAveragePool({})
  d = Flatten(g)
  logits = Gemm<transB=1>(d, w2, b2)
"""
ENDS: Shapes = {"w1": (6, 3, 3, 3), "b1": (6,), "w2": (5, 6), "b2": (5,)}

BEFORE: dict[str, tuple[str, Shapes]] = {
    "depthwise": (
        """a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        r = HardSigmoid(a)
        n = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=6>(r, w3, b3)
        feature = Softplus(n)""",
        {"w3": (6, 1, 3, 3), "b3": (6,)},
    ),
    "several channels a group": (
        """a = Conv<kernel_shape=[1,1]>(x, w1, b1)
        n = Conv<kernel_shape=[1,1], group=3>(a, w3)
        s, u = Split<axis=1>(n, parts)
        feature = Concat<axis=1>(u, s)""",
        {"w1": (9, 3, 1, 1), "b1": (9,), "w3": (6, 3, 1, 1), "parts": [2, 4]},
    ),
    "parameters by channel": (
        """a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        i = InstanceNormalization(a, scale, shift)
        p = PRelu(i, slope)
        m = Mul(by, p)
        n = BatchNormalization(m, scale, shift, mean, variance)
        feature = Sub(n, less)""",
        {"scale": (6,), "shift": (6,), "mean": (6,), "variance": (6,), "slope": (6, 1, 1),
         "by": (1, 6, 1, 1), "less": (6, 8, 8)},
    ),
    "both branches of a residual add": (
        """q = Conv<kernel_shape=[1,1]>(x, w3, b1)
        a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        s = Sigmoid(a)
        t = Mul(a, s)
        z = Add(q, t)
        feature = Relu(z)""",
        {"w3": (6, 3, 1, 1)},
    ),
    "a part that goes whole": (
        """q = Conv<kernel_shape=[1,1]>(x, w3)
        a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        b = Conv<kernel_shape=[1,1]>(x, w4)
        c = Concat<axis=1>(q, b, a)
        feature = Relu(c)""",
        {"w1": (3, 3, 3, 3), "b1": (3,), "w3": (1, 3, 1, 1), "w4": (1, 3, 1, 1),
         "w2": (5, 5)},
    ),
    "computed weights": (
        """wt = Transpose<perm=[3,2,0,1]>(w1)
        ws = Reshape(b1, form)
        a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, wt)
        b = Add(a, ws)
        feature = Relu(b)""",
        {"w1": (3, 3, 3, 6), "form": [1, 6, 1, 1]},
    ),
    "transposed convolution": (
        """s = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x)
        a = ConvTranspose<kernel_shape=[2,2], strides=[2,2]>(s, w1, b1)
        feature = Relu(a)""",
        {"w1": (3, 6, 2, 2)},
    ),
    "a product with weights in front": (
        """f = Reshape(x, rows)
        a = MatMul(w1, f)
        b = Reshape(a, maps)
        feature = Relu(b)""",
        {"rows": [0, 3, 64], "w1": (6, 3), "maps": [-1, 6, 8, 8]},
    ),
}  # fmt: skip

BEHIND: dict[str, tuple[str, Shapes]] = {
    "depthwise with batch norm": (
        """c = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=6>(feature, w3, b3)
        n = BatchNormalization(c, scale, shift, mean, variance)
        r = Clip(n, low, high)
        e = Conv<kernel_shape=[1,1]>(r, w4)
        g = GlobalAveragePool(e)
        d = Flatten(g)
        logits = Gemm(d, w5)""",
        {"w3": (6, 1, 3, 3), "b3": (6,), "scale": (6,), "shift": (6,), "mean": (6,),
         "variance": (6,), "low": 0.0, "high": 6.0, "w4": (4, 6, 1, 1), "w5": (4, 5)},
    ),
    "depthwise without bias": (
        """c = Conv<kernel_shape=[3,3], pads=[1,1,1,1], group=6>(feature, w3)
        e = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(c, w4)
        g = GlobalAveragePool(e)
        logits = Flatten(g)""",
        {"w3": (6, 1, 3, 3), "w4": (5, 6, 3, 3)},
    ),
    "what is not zero of zero": (
        """p = GlobalAveragePool(feature)
        s = Sigmoid(p)
        q = Add(s, by)
        t = Reshape(q, flat)
        logits = Gemm<transB=1, alpha=0.5, beta=2.0>(t, w2, b2)""",
        {"by": (6, 1, 1), "flat": [0, 6]},
    ),
    "not zero through a flattening": (
        """s = Exp(feature)
        f = Flatten(s)
        logits = Gemm(f, w2)""",
        {"w2": (384, 5)},
    ),
    "squeeze and excite": (
        """p = GlobalAveragePool(feature)
        c = Conv<kernel_shape=[1,1]>(p, w3, b1)
        s = HardSigmoid(c)
        m = Mul(feature, s)
        g = GlobalMaxPool(m)
        d = Flatten(g)
        logits = Gemm<transB=1>(d, w2, b2)""",
        {"w3": (6, 6, 1, 1)},
    ),
    "sizes asked of the images": (
        """p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)
        sizes = Shape(x)
        rows = Gather(sizes, first)
        form = Concat<axis=0>(rows, rest)
        d = Reshape(p, form)
        logits = Gemm<transB=1>(d, w2, b2)""",
        {"first": [0], "rest": [96], "w2": (5, 96)},
    ),
    "sizes asked of the channels": (
        """p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)
        sizes = Shape(p)
        rows = Slice(sizes, zero, two)
        form = Concat<axis=0>(rows, rest)
        e = Reshape(p, form)
        m = ReduceMean<axes=[-1], keepdims=0>(e)
        logits = MatMul(m, w2)""",
        {"zero": [0], "two": [2], "rest": [16], "w2": (6, 5)},
    ),
    "a split": (
        """p = GlobalAveragePool(feature)
        d = Flatten(p)
        u, v = Split<axis=1>(d, parts)
        e = Gemm(u, w3)
        f = Gemm(v, w4)
        logits = Add(e, f)""",
        {"parts": [3, 3], "w3": (3, 5), "w4": (3, 5)},
    ),
    "joined to itself": (
        """p = GlobalAveragePool(feature)
        j = Concat<axis=1>(p, p)
        d = Flatten(j)
        logits = Gemm<transB=1>(d, w2, b2)""",
        {"w2": (5, 12)},
    ),
    "channels last": (
        """t = Transpose<perm=[0,2,3,1]>(feature)
        g = ReduceMean<axes=[1,2], keepdims=1>(t)
        s = Squeeze(g, axes)
        logits = MatMul(s, w2)""",
        {"axes": [1, 2], "w2": (6, 5)},
    ),
    "columns of a product": (
        """p = Reshape(feature, form)
        m = MatMul(w2, p)
        logits = ReduceSum<keepdims=0>(m, last)""",
        {"form": [0, 6, 64], "w2": (5, 6), "last": [2]},
    ),
    "transposed convolution": (
        """c = ConvTranspose<kernel_shape=[1,1]>(feature, w2, b2)
        g = GlobalAveragePool(c)
        logits = Flatten(g)""",
        {"w2": (6, 5, 1, 1)},
    ),
}  # fmt: skip

WHOLE: dict[str, tuple[str, Shapes, FeatureLayer]] = {
    **{f"before: {name}": (_graph(text + READ_BY.format("feature")), {**ENDS, **more},
                           FeatureLayer("feature", 5 if "whole" in name else 6))
       for name, (text, more) in BEFORE.items()},
    **{f"behind: {name}": (_graph(MADE_BY + text), {**ENDS, **more}, FeatureLayer("feature", 6))
       for name, (text, more) in BEHIND.items()},
    "plain": (PLAIN, PLAIN_SHAPES, FeatureLayer("feature", 6)),
    "batch norm": (BATCH_NORM, BATCH_NORM_SHAPES, FeatureLayer("feature", 6)),
    "gated": (GATED, GATED_SHAPES, FeatureLayer("feature", 6)),
    "NHWC": (NHWC, NHWC_SHAPES, FeatureLayer("feature", 6, axis=3)),
    "transformer": (TRANSFORMER, TRANSFORMER_SHAPES,
                    FeatureLayer("feature", 12, axis=2, rank=3, bypassed=True)),
}  # fmt: skip


PRUNED_BY = {"before: several channels a group": (0, 1)}


def _made(name: str) -> tuple[onnx.ModelProto, PruningPlan]:
    """A classifier with the shapes of all its tensors declared, so that old ones are noticed."""
    text, shapes, layer = WHOLE[name]
    model = onnx.shape_inference.infer_shapes(classifier(text, shapes))
    return model, PruningPlan(layer, "slim", PRUNED_BY.get(name, PRUNED))


def _bytes(model: onnx.ModelProto) -> int:
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def _require_masked(model: onnx.ModelProto, slimmed: onnx.ModelProto, plan: PruningPlan) -> None:
    """Valid, smaller, and of the same logits as the masked model."""
    onnx.checker.check_model(slimmed, full_check=True)
    signature = read_signature(model)
    x = signature.example((8, 8), seed=2)
    masked = rewritten(model, PruningPlan(plan.layer, "mask", plan.channels), shapes_of(model))
    expected, found, before = (
        open_runner(proto, Machine()).run({"x": x})[0] for proto in (masked, slimmed, model)
    )
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=1e-5 * scale)
    assert np.abs(expected - before).max() > 1e-3 * scale, "the pruning does nothing here"
    require_planned_logits(model, slimmed, signature, plan, x)
    assert _bytes(slimmed) < _bytes(model)
    assert len(slimmed.graph.node) <= len(model.graph.node)


@pytest.mark.parametrize("name", WHOLE)
def test_channels_are_gone_and_the_logits_are_those_of_a_mask(name: str) -> None:
    model, plan = _made(name)
    slimmed = rewritten(model, plan, shapes_of(model))
    _require_masked(model, slimmed, plan)
    shapes = shapes_of(slimmed)
    assert shapes["feature"][plan.layer.axis] == plan.layer.channels - len(plan.channels)
    for value in slimmed.graph.value_info:
        declared = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        found = zip(declared, shapes[value.name], strict=True)
        assert all(size in (0, real) for size, real in found), value.name
    assert slimmed.graph.output == model.graph.output
    assert slimmed.graph.input == model.graph.input


def test_every_layer_between_is_smaller() -> None:
    model, plan = _made("behind: depthwise with batch norm")
    slimmed = rewritten(model, plan, shapes_of(model))
    sizes = {tensor.name: tuple(tensor.dims) for tensor in slimmed.graph.initializer}
    assert sizes["w1"] == (4, 3, 3, 3)
    assert sizes["w3"] == (4, 1, 3, 3)
    assert sizes["scale"] == sizes["mean"] == (4,)
    assert sizes["w4"] == (4, 4, 1, 1)
    (group,) = (
        item.i for node in slimmed.graph.node for item in node.attribute if item.name == "group"
    )
    assert group == 4


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_a_split_without_sizes_is_given_them(opset: int) -> None:
    text, shapes, layer = WHOLE["behind: a split"]
    text = text.replace("(d, parts)", "(d)")
    if opset >= 18:
        text = text.replace("Split<axis=1>", "Split<axis=1, num_outputs=2>")
    model = classifier(text, shapes, opset=opset)
    plan = PruningPlan(layer, "slim", (1,))
    _require_masked(model, rewritten(model, plan, shapes_of(model)), plan)


def test_constants_that_others_read_stay_as_they_are() -> None:
    model = classifier(SHARED, dict(SHARED_SHAPES))
    plan = PruningPlan(FeatureLayer("feature", 6), "slim", PRUNED)
    slimmed = rewritten(model, plan, shapes_of(model))
    require_planned_logits(model, slimmed, read_signature(model), plan, images())
    sizes = {tensor.name: tuple(tensor.dims) for tensor in slimmed.graph.initializer}
    assert sizes["w3"] == (6, 6, 3, 3)
    assert sizes["b1"] == (6,)


def test_readers_that_lose_the_same_go_on_sharing() -> None:
    text, shapes, layer = WHOLE["before: parameters by channel"]
    model = classifier(text.replace("shift, mean", "scale, mean"), shapes)
    plan = PruningPlan(layer, "slim", PRUNED)
    slimmed = rewritten(model, plan, shapes_of(model))
    _require_masked(model, slimmed, plan)
    read = [name for node in slimmed.graph.node for name in node.input]
    assert read.count("scale") == 3


def test_weights_among_nodes_and_inputs_shrink_or_go_too() -> None:
    text, shapes, layer = WHOLE["before: a part that goes whole"]
    read = {name: shape for name, shape in shapes.items() if name in text}
    model = classifier(text, read)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "w2")
    model.graph.node.insert(0, onnx.helper.make_node("Constant", [], ["w2"], value=weight))
    model.graph.initializer.remove(weight)
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        )
    plan = PruningPlan(layer, "slim", PRUNED)
    slimmed = rewritten(model, plan, shapes_of(model))
    onnx.checker.check_model(slimmed, full_check=True)
    require_planned_logits(model, slimmed, read_signature(model), plan, images())
    listed = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in slimmed.graph.input
    }
    assert listed.pop("x") == (0, 3, 8, 8)
    assert listed == {"w1": (2, 3, 3, 3), "b1": (2,), "w3": (1, 3, 1, 1), "b2": (5,)}
    assert {tensor.name for tensor in slimmed.graph.initializer} > listed.keys()


def test_a_shape_declared_wrongly_does_no_harm() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("c", 1, [3]))
    plan = PruningPlan(FeatureLayer("feature", 6), "slim", PRUNED)
    slimmed = rewritten(model, plan, shapes_of(model))
    require_planned_logits(model, slimmed, read_signature(model), plan, images())


class _Images(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self.ready = iter([{"x": images(8)}])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.ready, None)


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
@pytest.mark.parametrize("name", ["before: both branches of a residual add", "before: depthwise",
                                  "before: a part that goes whole"])  # fmt: skip
def test_quantised_models_are_slimmed_in_integers(
    name: str, form: QuantFormat, tmp_path: Path
) -> None:
    text, shapes, _ = WHOLE[name]
    onnx.save(classifier(text, shapes), tmp_path / "f.onnx")
    # Seven bits, so that products do not saturate where the processor lacks VNNI.
    quantize_static(
        tmp_path / "f.onnx", tmp_path / "q.onnx", _Images(), form, per_channel=True,
        reduce_range=True,
    )  # fmt: skip
    model = load_untrusted(tmp_path / "q.onnx").proto
    signature, observed = read_signature(model), shapes_of(model)
    layer = find_feature_layer(model, signature, observed)
    plan = PruningPlan(layer, "slim", PRUNED)
    slimmed = rewritten(model, plan, observed)
    onnx.checker.check_model(slimmed, full_check=True)
    masked = rewritten(model, PruningPlan(layer, "mask", PRUNED), observed)
    found, expected = (open_runner(m, Machine()).run({"x": images()})[0] for m in (slimmed, masked))
    np.testing.assert_array_equal(found, expected)
    assert _bytes(slimmed) < _bytes(model)


def test_a_fused_residual_add_loses_the_channel_in_both_branches() -> None:
    text, shapes, layer = WHOLE["plain"]
    model = classifier(text, {**shapes, "w3": (6, 3, 1, 1)})
    branch = onnx.helper.make_node("Conv", ["x", "w3"], ["q"], kernel_shape=[1, 1])
    fused = onnx.helper.make_node(
        "FusedConv", ["x", "w1", "b1", "q"], ["feature"], domain="com.microsoft",
        activation="Relu", kernel_shape=[3, 3], pads=[1, 1, 1, 1],
    )  # fmt: skip
    rest = list(model.graph.node)[2:]
    del model.graph.node[:]
    model.graph.node.extend([branch, fused, *rest])
    model.opset_import.add(domain="com.microsoft", version=1)
    plan = PruningPlan(layer, "slim", PRUNED)
    slimmed = rewritten(model, plan, shapes_of(model))
    _require_masked(model, slimmed, plan)
    assert shapes_of(slimmed)["q"][1] == 4


REFUSED_CHANNELS = {
    "gated halves": (1, 3),
    "a half that goes whole": (0, 5),
    "no weights behind": (0,),
}
REFUSED: dict[str, tuple[str, Shapes, str]] = {
    "a block reads it too": (RESIDUAL, RESIDUAL_SHAPES, r"'c' \(Conv\) reads 'r' too"),
    "two heads of one map": (*ALL["squeeze"][:2], r"'right' \(Relu\) reads 'a' too"),
    "squeeze and excite before": (
        _graph("""a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        p = GlobalAveragePool(a)
        c = Conv<kernel_shape=[1,1]>(p, w3, b1)
        s = Sigmoid(c)
        feature = Mul(a, s)""" + READ_BY.format("feature")),
        {**ENDS, "w3": (6, 6, 1, 1)}, r"'p' \(GlobalAveragePool\) reads 'a' too",
    ),
    "normalised over channels before": (
        _graph("""a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        feature = LRN<size=3>(a)""" + READ_BY.format("feature")),
        ENDS, r"'feature' \(LRN\) comes between",
    ),
    "normalised over channels behind": (
        _graph(MADE_BY + """p = ReduceMean<axes=[2,3], keepdims=0>(feature)
        n = LayerNormalization(p, scale)
        logits = Gemm<transB=1>(n, w2, b2)"""),
        {**ENDS, "scale": (6,)}, r"'n' \(LayerNormalization\) reads it",
    ),
    "summed over channels": (
        _graph(MADE_BY + """p = ReduceMean<axes=[1], keepdims=1>(feature)
        d = Flatten(p)
        logits = MatMul(d, w2)"""),
        {**ENDS, "w2": (64, 5)}, r"'p' \(ReduceMean\) reads it",
    ),
    "groups of several sizes": (
        _graph("""a = Conv<kernel_shape=[1,1]>(x, w3)
        feature = Conv<kernel_shape=[1,1], group=3>(a, w1)""" + READ_BY.format("feature")),
        {**ENDS, "w3": (3, 3, 1, 1), "w1": (6, 1, 1, 1)}, r"'feature' \(Conv\) would keep groups",
    ),
    "groups of several sizes behind": (
        _graph(MADE_BY + "c = Conv<kernel_shape=[1,1], group=3>(feature, w3)"
               + READ_BY.format("c")),
        {**ENDS, "w3": (6, 2, 1, 1)}, r"'c' \(Conv\) would keep groups",
    ),
    "shuffled channels": (
        _graph("""a = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        b = Reshape(a, two)
        c = Transpose<perm=[0,2,1,3,4]>(b)
        feature = Reshape(c, back)""" + READ_BY.format("feature")),
        {**ENDS, "two": [0, 2, 3, 8, 8], "back": [0, 6, 8, 8]},
        r"'feature' \(Reshape\) spreads channels over several axes",
    ),
    "half of one through the sigmoid and the border": (
        _graph(MADE_BY + """s = Sigmoid(feature)
        c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(s, w3, b1)
        g = GlobalAveragePool(c)
        d = Flatten(g)
        logits = Gemm<transB=1>(d, w2, b2)"""),
        {**ENDS, "w3": (6, 6, 3, 3)}, r"'c' \(Conv\) has no bias that could take",
    ),
    "no bias for one half": (
        _graph(MADE_BY + """s = Sigmoid(feature)
        g = ReduceMean<axes=[2,3], keepdims=0>(s)
        logits = MatMul(g, w2)"""),
        {**ENDS, "w2": (6, 5)}, r"'logits' \(MatMul\) has no bias that could take",
    ),
    "added to what differs by image": (
        _graph(MADE_BY + """q = Conv<kernel_shape=[1,1]>(x, w3)
        s = Add(feature, q)""" + READ_BY.format("s")),
        {**ENDS, "w3": (6, 3, 1, 1)}, r"'s' \(Add\) joins it with values that differ by image",
    ),
    "another number at each position": (
        _graph(MADE_BY + "s = Add(feature, map)" + READ_BY.format("s")),
        {**ENDS, "map": (6, 8, 8)}, r"'s' \(Add\) gives another number at each position",
    ),
    "an average over padding": (
        _graph(MADE_BY + """s = Sigmoid(feature)
        p = AveragePool<kernel_shape=[2,2], pads=[1,1,1,1], count_include_pad=1>(s)"""
               + READ_BY.format("p")),
        ENDS, r"'p' \(AveragePool\) makes more than one number",
    ),
    "the number of channels as a factor": (
        _graph(MADE_BY + """sizes = Shape(feature)
        count = Gather(sizes, one)
        factor = Cast<to=1>(count)
        s = Mul(feature, factor)""" + READ_BY.format("s")),
        {**ENDS, "one": [1]}, r"'sizes' \(Shape\) reads 'feature' too",
    ),
    "gated halves": (
        _graph(MADE_BY + """u, v = Split<axis=1>(feature, parts)
        s = Mul(u, v)""" + READ_BY.format("s")),
        {**ENDS, "parts": [3, 3], "w2": (5, 3)}, r"'s' \(Mul\) mixes channels",
    ),
    "a half that goes whole": (
        _graph(MADE_BY + """u, v = Split<axis=1>(feature, parts)
        c = Conv<kernel_shape=[1,1]>(u, w3)
        e = Conv<kernel_shape=[1,1]>(v, w4)
        s = Add(c, e)""" + READ_BY.format("s")),
        {**ENDS, "parts": [5, 1], "w3": (6, 5, 1, 1), "w4": (6, 1, 1, 1)},
        r"'u' \(Split\) would have nothing left to give",
    ),
    "joined with what is not zero": (
        _graph(MADE_BY + """q = Conv<kernel_shape=[1,1]>(x, w3)
        j = Concat<axis=2>(feature, q)""" + READ_BY.format("j")),
        {**ENDS, "w3": (6, 3, 1, 1)}, r"'j' \(Concat\) joins it with other values",
    ),
    "a bias that does not count": (
        _graph(MADE_BY + """s = Sigmoid(feature)
        g = ReduceMean<axes=[2,3], keepdims=0>(s)
        logits = Gemm<transB=1, beta=0.0>(g, w2, b2)"""),
        ENDS, r"'logits' \(Gemm\) does not add its bias",
    ),
    "no weights behind": (
        _graph("""a = Conv<kernel_shape=[3,3]>(x, w1)
        feature = Relu(a)
        g = GlobalAveragePool(feature)
        logits = Flatten(g)"""),
        {"w1": (5, 3, 3, 3)}, r"reach the output 'logits'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_node(name: str) -> None:
    text, shapes, message = REFUSED[name]
    model = classifier(text, shapes)
    observed = shapes_of(model)
    pruned = REFUSED_CHANNELS.get(name, PRUNED)
    layer = FeatureLayer("feature", observed["feature"][1])
    with pytest.raises(ModelError, match=f"{message}.*: use --rewrite fold or mask"):
        rewritten(model, PruningPlan(layer, "slim", pruned), observed)


def test_a_map_that_is_an_output_keeps_its_channels() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    shown = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, ["N", 6, 8, 8])
    model.graph.output.append(shown)
    plan = PruningPlan(FeatureLayer("feature", 6), "slim", PRUNED)
    with pytest.raises(ModelError, match="'c' is an output of the model"):
        rewritten(model, plan, shapes_of(model))


def test_slimming_twice_and_the_same_bytes_each_time() -> None:
    model = classifier(GATED, dict(GATED_SHAPES))
    before = model.SerializeToString(deterministic=True)
    plan = PruningPlan(FeatureLayer("feature", 6), "slim", PRUNED)
    once, again = (rewritten(model, plan, shapes_of(model)) for _ in range(2))
    assert model.SerializeToString(deterministic=True) == before
    assert once.SerializeToString(deterministic=True) == again.SerializeToString(deterministic=True)
    second = PruningPlan(FeatureLayer("feature", 4), "slim", (0,))
    _require_masked(once, rewritten(once, second, shapes_of(once)), second)


def test_prune_writes_a_smaller_file(tmp_path: Path) -> None:
    model = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "m.onnx")
    output = tmp_path / "h.onnx"
    asked = ["prune", str(model), "--channels", "1,4", "--rewrite", "slim", "-o", str(output)]
    assert run([*asked, "--quiet"]) == 0
    assert output.stat().st_size < model.stat().st_size
    written = json.loads(output.with_suffix(".json").read_text())
    assert (written["rewrite"], written["channels"]) == ("slim", [1, 4])
    assert written["layer"]["channels"] == 6
    plan = {item.key: item.value for item in onnx.load(output).metadata_props}["hardener.plan"]
    assert json.loads(plan)["rewrite"] == "slim"


def test_prune_refuses_and_inspect_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = saved(classifier(RESIDUAL, dict(RESIDUAL_SHAPES)), tmp_path / "m.onnx")
    output = tmp_path / "h.onnx"
    asked = ["prune", str(model), "--channels", "1,4", "--rewrite", "slim", "-o", str(output)]
    assert run(asked) == 2
    told = capsys.readouterr().err
    assert "node 'c' (Conv) reads 'r' too: use --rewrite fold or mask" in " ".join(told.split())
    assert not output.exists()
    assert run(["inspect", str(model), "--format", "json"]) == 0
    refusals = json.loads(capsys.readouterr().out)["refusals"]
    assert "reads 'r' too" in refusals["slim"]
    assert "fold" not in refusals
