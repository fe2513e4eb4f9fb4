"""Each rewrite against the plan's meaning, computed apart from it with numpy."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, quantize_static
from support.graphs import (
    ALL,
    GATED,
    GATED_SHAPES,
    NHWC,
    NHWC_SHAPES,
    PLAIN,
    PLAIN_SHAPES,
    RESIDUAL,
    RESIDUAL_SHAPES,
    TRANSFORMER,
    TRANSFORMER_SHAPES,
    Shapes,
    classifier,
    images,
    shapes_of,
)

from hardener.errors import ModelError, UsageError
from hardener.model.quarantine import load_untrusted
from hardener.model.rewrites.fold import _fold_behind
from hardener.model.rewriting import (
    REWRITES,
    PruningPlan,
    default_rewrite,
    require_planned_logits,
    rewritten,
)
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.model.surgery import rebuilt
from hardener.model.topology import FeatureLayer, find_feature_layer
from hardener.model.trial_heads import (
    KEEP_INPUT,
    THRESHOLD_INPUT,
    guardable_head,
    maskable_head,
    trunk_model,
)

PRUNED = (1, 4)

AVERAGED = PLAIN.replace("MaxPool<kernel_shape=[2,2], strides=[2,2]>", "GlobalAveragePool")
AVERAGED_SHAPES: Shapes = {"w1": (64, 3, 3, 3), "b1": (64,), "w2": (5, 64), "b2": (5,)}

TWO_READERS = """u = Conv<kernel_shape=[1,1]>(feature, w4)
  v = Conv<kernel_shape=[1,1]>(feature, w4)
  m = Mul(u, v)
  g = ReduceMean<axes=[2,3], keepdims=0>(m)"""


def _quantised(folder: Path) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """A network in float32, and in int8 as onnxruntime's optimiser leaves it here."""
    text = PLAIN.replace("MaxPool<kernel_shape=[2,2], strides=[2,2]>", "GlobalAveragePool")
    plain = classifier(text, {**PLAIN_SHAPES, "w2": (5, 6)})
    onnx.save(plain, folder / "f.onnx")
    ready = iter([{"x": images(8)}])

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(ready, None)

    # Seven bits, so that products do not saturate where the processor lacks VNNI.
    quantize_static(
        folder / "f.onnx", folder / "q.onnx", Images(), reduce_range=True, per_channel=True
    )
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(folder / "o.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(folder / "q.onnx", options, providers=["CPUExecutionProvider"])
    return plain, load_untrusted(folder / "o.onnx").proto


def _run(model: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    return open_runner(model, Machine()).run(feeds)[0]


def _with_feature_output(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model that also shows its feature layer, for use as a reference."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(
        onnx.helper.make_tensor_value_info("feature", onnx.TensorProto.FLOAT, None)
    )
    return shown


@pytest.mark.parametrize("name", ALL)
def test_the_feature_layer_is_found(name: str) -> None:
    text, shapes, channels = ALL[name]
    model = classifier(text, shapes)
    assert find_feature_layer(model, read_signature(model), shapes_of(model)) == FeatureLayer(
        "feature", channels
    )


@pytest.mark.parametrize("rewrite", ["mask", "fold"])
@pytest.mark.parametrize("name", ALL)
def test_static_rewrites_equal_zeroed_channels(name: str, rewrite: str) -> None:
    text, shapes, channels = ALL[name]
    model = classifier(text, shapes)
    signature = read_signature(model)
    layer = FeatureLayer("feature", channels)
    changed = rewritten(model, PruningPlan(layer, rewrite, PRUNED), shapes_of(model))
    onnx.checker.check_model(changed, full_check=True)

    x = images()
    feature = open_runner(_with_feature_output(model), Machine()).run({"x": x})[1].copy()
    feature[:, list(PRUNED)] = 0
    head = maskable_head(model, layer, signature)
    ones = np.ones(channels, np.float32)
    expected = _run(head, feature=feature, **{KEEP_INPUT: ones})
    np.testing.assert_allclose(_run(changed, x=x), expected, atol=1e-5)
    assert np.abs(expected - _run(model, x=x)).max() > 1e-3, "the pruning does nothing here"
    assert [v.SerializeToString() for v in changed.graph.input] == [
        v.SerializeToString() for v in model.graph.input
    ]
    assert [v.SerializeToString() for v in changed.graph.output] == [
        v.SerializeToString() for v in model.graph.output
    ]
    assert changed.opset_import == model.opset_import
    added = len(changed.graph.node) - len(model.graph.node)
    assert added == {"mask": 1, "fold": 0}[rewrite]


@pytest.mark.parametrize("opset", [12, 17, 18])
def test_a_guard_zeroes_only_channels_that_peak(opset: int) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES), opset=opset)
    signature = read_signature(model)
    layer = FeatureLayer("feature", 6)
    x = images(8)
    (feature,) = open_runner(trunk_model(model, layer, read_signature(model)), Machine()).run(
        {"x": x}
    )
    peaks = feature.max(axis=(2, 3))
    threshold = float(np.quantile(peaks.max(axis=1), 0.5))
    fires = peaks > threshold
    assert fires.any(axis=1).sum() == 4

    changed = rewritten(model, PruningPlan(layer, "guard", threshold=threshold), shapes_of(model))
    onnx.checker.check_model(changed, full_check=True)
    guarded = np.where(fires[:, :, None, None], 0, feature)
    head = maskable_head(model, layer, signature)
    ones = np.ones(6, np.float32)
    expected = _run(head, feature=guarded, **{KEEP_INPUT: ones})
    found = _run(changed, x=x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    quiet = ~fires.any(axis=1)
    np.testing.assert_array_equal(found[quiet], _run(model, x=x)[quiet])


@pytest.mark.parametrize("name", ALL)
def test_a_guard_with_limits_zeroes_each_channel_above_its_own(name: str) -> None:
    text, shapes, channels = ALL[name]
    model = classifier(text, shapes)
    signature, layer = read_signature(model), FeatureLayer("feature", channels)
    x = images(8)
    feature = open_runner(_with_feature_output(model), Machine()).run({"x": x})[1]
    peaks = np.abs(feature).max(axis=(2, 3))
    limits = np.sort(peaks, axis=0)[-2]
    fires = peaks > limits
    assert fires.any(axis=0).sum() > channels / 2

    plan = PruningPlan(layer, "guard", limits=tuple(limits.tolist()), alarm=True)
    changed = rewritten(model, plan, shapes_of(model))
    onnx.checker.check_model(changed, full_check=True)
    head = maskable_head(model, layer, signature)
    guarded = np.where(fires[:, :, None, None], 0, feature)
    expected = _run(head, feature=guarded, **{KEEP_INPUT: np.ones(channels, np.float32)})
    found, alarm = open_runner(changed, Machine()).run({"x": x})
    np.testing.assert_allclose(found, expected, atol=1e-5)
    quiet = ~fires.any(axis=1)
    assert quiet.any()
    np.testing.assert_array_equal(found[quiet], _run(model, x=x)[quiet])
    assert alarm.dtype == np.int64
    assert alarm.tolist() == fires.sum(axis=1).tolist()


@pytest.mark.parametrize("opset", [9, 12, 17, 18])
def test_a_clip_is_numpys_minimum(opset: int) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES), opset=opset)
    signature, layer = read_signature(model), FeatureLayer("feature", 6)
    x = images(8)
    (feature,) = open_runner(trunk_model(model, layer, signature), Machine()).run({"x": x})
    bounds = np.sort(feature.max(axis=(2, 3)), axis=0)[-2]
    plan = PruningPlan(layer, "clip", limits=tuple(bounds.tolist()))
    changed = rewritten(model, plan, shapes_of(model))
    onnx.checker.check_model(changed, full_check=True)
    assert len(changed.graph.node) == len(model.graph.node) + 1
    clipped = np.minimum(feature, bounds[:, None, None])
    below = (clipped == feature).all(axis=(1, 2, 3))
    assert 0 < below.sum() < 8
    head = maskable_head(model, layer, signature)
    expected = _run(head, feature=clipped, **{KEEP_INPUT: np.ones(6, np.float32)})
    found = _run(changed, x=x)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[below], _run(model, x=x)[below])


@pytest.mark.parametrize("rewrite", ["guard", "clip"])
@pytest.mark.parametrize(
    ("text", "shapes"), [(NHWC, NHWC_SHAPES), (TRANSFORMER, TRANSFORMER_SHAPES)]
)
def test_limits_lie_on_the_channels_of_any_layout(text: str, shapes: Shapes, rewrite: str) -> None:
    model = classifier(text, shapes)
    signature, seen = read_signature(model), shapes_of(model)
    layer = find_feature_layer(model, signature, seen)
    assert layer.axis == layer.rank - 1
    plan = PruningPlan(layer, rewrite, limits=tuple(np.linspace(0.1, 5, layer.channels)))
    changed = rewritten(model, plan, seen)
    onnx.checker.check_model(changed, full_check=True)
    require_planned_logits(model, changed, signature, plan, signature.example((8, 8)))
    backwards = replace(plan, limits=plan.limits[::-1])
    with pytest.raises(ModelError, match="differ from the plan's"):
        require_planned_logits(model, changed, signature, backwards, signature.example((8, 8)))


@pytest.mark.parametrize(
    ("text", "shapes", "channels"), [(PLAIN, PLAIN_SHAPES, 6), (AVERAGED, AVERAGED_SHAPES, 64)]
)
def test_a_guard_zeroes_behind_poolings(text: str, shapes: Shapes, channels: int) -> None:
    model = classifier(text, shapes)
    plan = PruningPlan(FeatureLayer("feature", channels), "guard", threshold=1.0)
    changed = rewritten(model, plan, shapes_of(model))
    (where,) = (node for node in changed.graph.node if node.op_type == "Where")
    assert where.input[2] == "p"
    again = find_feature_layer(changed, read_signature(changed), shapes_of(changed))
    assert (again.name, again.channels) == (where.output[0], channels)


@pytest.mark.parametrize("limited", ["one threshold", "by channel", "by channel, alarm"])
def test_quiet_images_keep_every_bit_in_onnxruntimes_own_layout(limited: str) -> None:
    # Onnxruntime convolves and pools many channels in a layout of its own, in which sums are
    # rounded otherwise than in the plain one.
    model = classifier(AVERAGED, AVERAGED_SHAPES)
    x = images(8)
    (feature,) = open_runner(
        trunk_model(model, FeatureLayer("feature", 64), read_signature(model)), Machine()
    ).run({"x": x})
    peaks = feature.max(axis=(2, 3))
    top = float(np.sort(peaks.max(axis=1))[-2])
    limits = () if limited == "one threshold" else (top,) * 64
    plan = PruningPlan(
        FeatureLayer("feature", 64),
        "guard",
        threshold=None if limits else top,
        limits=limits,
        alarm="alarm" in limited,
    )
    found = _run(rewritten(model, plan, shapes_of(model)), x=x)
    changed = (found != _run(model, x=x)).any(axis=1)
    assert changed.tolist() == (peaks > top).any(axis=1).tolist()
    assert changed.sum() == 1


@pytest.mark.parametrize("images_a_run", ["N", "3"])
def test_an_alarm_is_one_number_an_image(images_a_run: str) -> None:
    text = PLAIN.replace("[N,", f"[{images_a_run},")
    model = classifier(text, dict(PLAIN_SHAPES))
    plan = PruningPlan(FeatureLayer("feature", 6), "guard", threshold=1.0, alarm=True)
    changed = rewritten(model, plan, shapes_of(model))
    logits, alarm = changed.graph.output
    assert logits == model.graph.output[0]
    assert alarm.name == "hardener_alarm"
    (count,) = alarm.type.tensor_type.shape.dim
    assert count == model.graph.input[0].type.tensor_type.shape.dim[0]
    with pytest.raises(ModelError, match="has a 'hardener_alarm' already"):
        rewritten(changed, plan, shapes_of(changed))


@pytest.mark.parametrize("opset", [11, 12])
def test_integers_of_an_early_opset_are_not_clipped(opset: int) -> None:
    quantised = (
        "r = Relu(c)\n  z = Constant<value = uint8 {3}>()\n"
        "  feature = QuantizeLinear(r, s, z)\n  q = DequantizeLinear(feature, s, z)"
    )
    text = PLAIN.replace("feature = Relu(c)", quantised).replace("(feature)\n  d", "(q)\n  d")
    model = classifier(text, {**PLAIN_SHAPES, "s": 0.02}, opset=opset)
    signature, shapes = read_signature(model), shapes_of(model)
    layer = find_feature_layer(model, signature, shapes)
    assert (layer.name, layer.zero_point) == ("feature", 3)
    plan = PruningPlan(layer, "clip", limits=(0.1, 0.5, 1.0, 1.5, 2.0, 9.0))
    if opset < 12:
        with pytest.raises(ModelError, match=r"opset 11 takes no minimum: convert .* 12"):
            rewritten(model, plan, shapes)
        return
    changed = rewritten(model, plan, shapes)
    onnx.checker.check_model(changed, full_check=True)
    require_planned_logits(model, changed, signature, plan, images())
    (bound,) = (t for t in changed.graph.initializer if t.name == "feature/hardener_bound")
    assert onnx.numpy_helper.to_array(bound).ravel().tolist() == [8, 28, 53, 78, 103, 255]
    alike = PruningPlan(layer, "clip", threshold=0.5)
    require_planned_logits(model, rewritten(model, alike, shapes), signature, alike, images())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rewrite", ["guard", "clip"])
def test_a_limit_that_no_half_float_reaches_changes_nothing(rewrite: str) -> None:
    half = "h = Cast<to=10>(c)\n  feature = Relu(h)\n  r = Cast<to=1>(feature)"
    text = PLAIN.replace("feature = Relu(c)", half).replace("(feature)\n  d", "(r)\n  d")
    model = classifier(text, PLAIN_SHAPES)
    plan = PruningPlan(FeatureLayer("feature", 6), rewrite, threshold=1e6)
    changed = rewritten(model, plan, shapes_of(model))
    onnx.checker.check_model(changed, full_check=True)
    # Half floats are computed in float32, and rounded only where an optimiser leaves the casts.
    np.testing.assert_allclose(_run(changed, x=images()), _run(model, x=images()), atol=0.05)


@pytest.mark.parametrize("rewrite", ["guard", "clip"])
def test_limits_of_an_optimised_integer_model_are_in_activation_units(
    rewrite: str, tmp_path: Path
) -> None:
    plain, optimised = _quantised(tmp_path)
    expected, found = (_limited(model, rewrite) for model in (plain, optimised))
    assert np.abs(_run(plain, x=images()) - expected).max() > 0.3 * np.abs(expected).max()
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def _limited(model: onnx.ModelProto, rewrite: str) -> np.ndarray:
    """Logits of a model that is limited at six different values."""
    shapes = shapes_of(model)
    layer = find_feature_layer(model, read_signature(model), shapes)
    plan = PruningPlan(layer, rewrite, limits=(0.7, 1.1, 1.5, 1.9, 2.3, 2.7))
    return _run(rewritten(model, plan, shapes), x=images())


def test_a_guard_does_not_multiply_infinity_by_zero() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    layer = FeatureLayer("feature", 6)
    head = guardable_head(model, layer, read_signature(model))
    feature = np.full((1, 6, 8, 8), np.inf, np.float32)
    logits = _run(head, feature=feature, **{THRESHOLD_INPUT: np.array(1, np.float32)})
    assert np.isfinite(logits).all()


def test_rewrites_leave_the_original_alone() -> None:
    for text, shapes, channels in ALL.values():
        model = classifier(text, shapes)
        before = model.SerializeToString(deterministic=True)
        layer = FeatureLayer("feature", channels)
        for rewrite in ("mask", "fold", "guard", "clip"):
            rewritten(model, PruningPlan(layer, rewrite, PRUNED, 1.0), shapes_of(model))
        assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("rewrite", ["mask", "fold"])
def test_pruned_channels_of_an_optimised_integer_model_stand_for_zero(
    rewrite: str, tmp_path: Path
) -> None:
    plain, optimised = _quantised(tmp_path)
    made = {node.op_type for node in optimised.graph.node if node.domain == "com.microsoft"}
    assert "QLinearConv" in made
    signature, shapes = read_signature(optimised), shapes_of(optimised)
    layer = find_feature_layer(optimised, signature, shapes)
    assert layer.zero_point is not None
    changed = rewritten(optimised, PruningPlan(layer, rewrite, PRUNED), shapes)
    own = find_feature_layer(plain, read_signature(plain), shapes_of(plain))
    expected = _run(
        rewritten(plain, PruningPlan(own, "mask", PRUNED), shapes_of(plain)), x=images()
    )
    found = _run(changed, x=images())
    assert np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_integers_of_unknown_scale_are_not_pruned(tmp_path: Path) -> None:
    _, optimised = _quantised(tmp_path)
    shapes = shapes_of(optimised)
    layer = find_feature_layer(optimised, read_signature(optimised), shapes)
    unknown = replace(layer, scale=None, zero_point=None)
    for rewrite in ("mask", "guard", "clip"):
        plan = PruningPlan(unknown, rewrite, PRUNED, 1.0)
        with pytest.raises(ModelError, match="integers of unknown scale"):
            rewritten(optimised, plan, shapes)


@pytest.mark.parametrize("rewrite", REWRITES)
def test_rewriting_twice_gives_the_same_bytes(rewrite: str) -> None:
    text, shapes, channels = ALL["batch norm"]
    model = classifier(text, shapes)
    layer = FeatureLayer("feature", channels)
    plan = PruningPlan(layer, rewrite, PRUNED, 1.0, alarm=rewrite == "guard")
    first, second = (
        rewritten(model, plan, shapes_of(model)).SerializeToString(deterministic=True)
        for _ in range(2)
    )
    assert first == second


def test_fold_refuses_and_names_the_node_in_the_way() -> None:
    text = PLAIN.replace("feature = Relu(c)", "r = Exp(c)\n  feature = Add(r, r)")
    text = text.replace("MaxPool<kernel_shape=[2,2], strides=[2,2]>", "Softplus")
    shapes: dict[str, object] = {**PLAIN_SHAPES, "w2": (5, 384)}
    model = classifier(text, shapes)
    plan = PruningPlan(FeatureLayer("feature", 6), "fold", PRUNED)
    with pytest.raises(ModelError, match=r"Add.*comes between.*Softplus.*other than 0 for 0.*mask"):
        rewritten(model, plan, shapes_of(model))


def test_readers_that_share_weights_are_each_given_their_own() -> None:
    text = RESIDUAL.replace("g = ReduceMean<axes=[2,3], keepdims=0>(feature)", TWO_READERS)
    model = classifier(text, {**RESIDUAL_SHAPES, "w4": (6, 6, 1, 1)})
    signature = read_signature(model)
    plan = PruningPlan(FeatureLayer("feature", 6), "fold", PRUNED)
    changed = rewritten(model, plan, shapes_of(model))
    onnx.checker.check_model(changed, full_check=True)
    require_planned_logits(model, changed, signature, plan, images())


def test_a_clip_that_lifts_zero_is_not_folded_before_it() -> None:
    text, shapes, channels = ALL["batch norm"]
    model = classifier(text, {**shapes, "low": 0.5})
    signature = read_signature(model)
    plan = PruningPlan(FeatureLayer("feature", channels), "fold", PRUNED)
    changed = rewritten(model, plan, shapes_of(model))
    require_planned_logits(model, changed, signature, plan, images())


def test_a_wrong_rewrite_is_noticed() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    signature = read_signature(model)
    layer = FeatureLayer("feature", 6)
    changed = rewritten(model, PruningPlan(layer, "fold", (1,)), shapes_of(model))
    with pytest.raises(ModelError, match="differ from the plan"):
        require_planned_logits(
            model, changed, signature, PruningPlan(layer, "fold", (2,)), images()
        )


def test_constants_as_nodes_are_weights_too() -> None:
    model = classifier(GATED, dict(GATED_SHAPES))
    weight = next(t for t in model.graph.initializer if t.name == "w1")
    node = onnx.helper.make_node("Constant", [], ["w1"], value=weight)
    model.graph.initializer.remove(weight)
    model.graph.node.insert(0, node)
    signature = read_signature(model)
    plan = PruningPlan(FeatureLayer("feature", 6), "fold", PRUNED)
    changed = rewritten(model, plan, shapes_of(model))
    onnx.checker.check_model(changed, full_check=True)
    require_planned_logits(model, changed, signature, plan, images())


def test_a_head_that_asks_the_images_how_many_they_are_can_be_cut_off() -> None:
    batch = "sizes = Shape(x)\n  rows = Gather(sizes, first)\n  "
    reshape = "shape = Concat<axis=0>(rows, rest)\n  d = Reshape(p, shape)"
    text = PLAIN.replace("d = Flatten(p)", batch + reshape)
    model = classifier(text, {**PLAIN_SHAPES, "first": [0], "rest": [-1]})
    signature = read_signature(model)
    plan = PruningPlan(FeatureLayer("feature", 6), "mask", PRUNED)
    changed = rewritten(model, plan, shapes_of(model))
    require_planned_logits(model, changed, signature, plan, images())


@pytest.mark.parametrize("rewrite", REWRITES)
def test_models_that_list_their_weights_as_inputs_can_be_rewritten(rewrite: str) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    model.ir_version = 3
    for weight in model.graph.initializer:
        model.graph.input.append(
            onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims)
        )
    onnx.checker.check_model(model)
    signature = read_signature(model)
    layer = FeatureLayer("feature", 6)
    plan = PruningPlan(layer, rewrite, PRUNED, 1.0, alarm=rewrite == "guard")
    changed = rewritten(model, plan, shapes_of(model))
    onnx.checker.check_model(changed, full_check=True)
    require_planned_logits(model, changed, signature, plan, images())


def test_fold_leaves_other_outputs_of_the_model_alone() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    value = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, ["N", 6, 8, 8])
    model.graph.output.append(value)
    plan = PruningPlan(FeatureLayer("feature", 6), "fold", PRUNED)
    signature = read_signature(model)
    changed = rewritten(model, plan, shapes_of(model))
    before, after = (open_runner(m, Machine()).run({"x": images()})[1] for m in (model, changed))
    np.testing.assert_array_equal(after, before)
    require_planned_logits(model, changed, signature, plan, images())


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (PruningPlan(FeatureLayer("feature", 6), "melt", (1,)), "no rewrite 'melt'"),
        (PruningPlan(FeatureLayer("feature", 6), "fold", (6,)), "channel 6 does not exist"),
        (PruningPlan(FeatureLayer("feature", 6), "guard", (1,)), "needs a --threshold"),
        (PruningPlan(FeatureLayer("feature", 6), "clip", (1,)), "needs a --threshold"),
        (
            PruningPlan(FeatureLayer("feature", 6), "clip", limits=(1.0, 2.0)),
            "2 limits are given: .* has 6 channels",
        ),
    ],
)
def test_impossible_plans_are_refused(plan: PruningPlan, message: str) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    with pytest.raises(UsageError, match=message):
        rewritten(model, plan, shapes_of(model))


@pytest.mark.parametrize("rewrite", ["mask", "guard", "clip"])
def test_a_pruned_model_can_be_pruned_again(rewrite: str) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    signature = read_signature(model)
    plan = PruningPlan(FeatureLayer("feature", 6), rewrite, (1,), 1.0)
    once = rewritten(model, plan, shapes_of(model))
    again = PruningPlan(plan.layer, rewrite, (2,), 0.5)
    twice = rewritten(once, again, shapes_of(once))
    onnx.checker.check_model(twice, full_check=True)
    require_planned_logits(once, twice, signature, again, images())


def test_a_softmax_does_not_hide_that_nothing_was_pruned() -> None:
    text = PLAIN.replace("logits = Gemm<transB=1>(d, w2, b2)",
                         "z = Gemm<transB=1>(d, w2, b2)\n  h = Mul(z, tiny)\n"
                         "  logits = Softmax<axis=1>(h)")  # fmt: skip
    model = classifier(text, {**PLAIN_SHAPES, "tiny": 0.001})
    byte = onnx.numpy_helper.from_array(np.array(1, np.uint8), "a byte that nothing reads")
    model.graph.initializer.append(byte)
    signature = read_signature(model)
    plan = PruningPlan(FeatureLayer("feature", 6), "fold", PRUNED)
    changed = rewritten(model, plan, shapes_of(model))
    require_planned_logits(model, changed, signature, plan, images())
    with pytest.raises(ModelError, match="differ from the plan's"):
        require_planned_logits(model, model, signature, plan, images())


def test_the_default_is_a_fold_or_a_mask_where_none_fits() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    layer = FeatureLayer("feature", 6)
    signature, shapes = read_signature(model), shapes_of(model)
    assert default_rewrite(model, signature, layer, shapes, images()) == "fold"
    text = PLAIN.replace("feature = Relu(c)", "r = Exp(c)\n  feature = Add(r, r)")
    text = text.replace("MaxPool<kernel_shape=[2,2], strides=[2,2]>", "Softplus")
    model = classifier(text, {**PLAIN_SHAPES, "w2": (5, 384)})
    assert default_rewrite(model, signature, layer, shapes_of(model), images()) == "mask"


def test_a_tensor_joined_to_itself_is_not_folded_before() -> None:
    text = PLAIN.replace("feature = Relu(c)", "r = Relu(c)\n  feature = Concat<axis=1>(r, r)")
    model = classifier(text, {**PLAIN_SHAPES, "w2": (5, 192)})
    signature = read_signature(model)
    plan = PruningPlan(FeatureLayer("feature", 12), "fold", (0, 9))
    changed = rewritten(model, plan, shapes_of(model))
    require_planned_logits(model, changed, signature, plan, images())


def test_zero_points_of_a_quantised_product_belong_to_its_outputs() -> None:
    nodes = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  feature = Exp(c)
  p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(feature)
  f = Flatten(p)
  q = QuantizeLinear(f, s, z)
  r = com.microsoft.QGemm<transB=1>(q, s, z, w2, ws, wz, b2)
  logits = Identity(r)
}"""
    text = nodes.replace("Exp", "LeakyRelu")
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>' + text
    )
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.normal(size=(6, 3, 3, 3)).astype(np.float32),
        "b1": rng.normal(size=6).astype(np.float32),
        "s": np.float32(0.1),
        "z": np.uint8(100),
        "w2": rng.integers(-99, 99, (5, 96)).astype(np.int8),
        "ws": rng.uniform(0.01, 0.1, 5).astype(np.float32),
        "wz": np.array([3, -4, 5, 0, 7], np.int8),
        "b2": rng.integers(-99, 99, 5).astype(np.int32),
    }
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values), name))
    graph = gs.import_onnx(model)
    layer = FeatureLayer("feature", 6)
    pruned = np.isin(np.arange(6), PRUNED)
    _fold_behind(graph, graph.tensors()["feature"], layer, shapes_of(model), pruned)
    changed = rebuilt(model, graph)
    plan = PruningPlan(layer, "fold", PRUNED)
    require_planned_logits(model, changed, read_signature(model), plan, images())


def test_a_shrink_may_make_something_of_nothing() -> None:
    text = PLAIN.replace(
        "feature = Relu(c)", "r = Relu(c)\n  feature = Shrink<lambd=-1.0, bias=-3.0>(r)"
    )
    model = classifier(text, dict(PLAIN_SHAPES))
    signature = read_signature(model)
    plan = PruningPlan(FeatureLayer("feature", 6), "fold", PRUNED)
    changed = rewritten(model, plan, shapes_of(model))
    require_planned_logits(model, changed, signature, plan, images())


def test_weights_in_an_attribute_keep_their_type() -> None:
    shapes = {key: value for key, value in PLAIN_SHAPES.items() if key != "b1"}
    text = PLAIN.replace(
        "c = Conv", "b1 = Constant<value_floats=[1.0,2.0,3.0,4.0,5.0,6.0]>()\n  c = Conv"
    )
    model = classifier(text, shapes)
    plan = PruningPlan(FeatureLayer("feature", 6), "fold", PRUNED)
    changed = rewritten(model, plan, shapes_of(model))
    require_planned_logits(model, changed, read_signature(model), plan, images())


def test_one_absurd_score_does_not_switch_the_comparison_off() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "b2")
    values = onnx.numpy_helper.to_array(bias).copy()
    values[3] = -1e9
    bias.CopyFrom(onnx.numpy_helper.from_array(values, "b2"))
    plan = PruningPlan(FeatureLayer("feature", 6), "fold", PRUNED)
    with pytest.raises(ModelError, match="differ from the plan's"):
        require_planned_logits(model, model, read_signature(model), plan, images())
