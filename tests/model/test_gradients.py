"""Classifiers in torch: checked against onnxruntime, in every layout and precision."""

from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
from support.graphs import ALL, PLAIN, PLAIN_SHAPES, classifier, images, shapes_of

from hardener.errors import InconclusiveError, ModelError
from hardener.model.gradients import (
    differentiable,
    fast_autocast,
    gains_from_bfloat16,
    torch_on,
)
from hardener.model.rewriting import PruningPlan, rewritten
from hardener.model.runtime import Machine, open_runner
from hardener.model.signature import read_signature
from hardener.model.topology import FeatureLayer


@pytest.mark.parametrize("name", ALL)
def test_logits_are_onnxruntimes_and_have_a_gradient(name: str) -> None:
    text, shapes, _ = ALL[name]
    model = classifier(text, shapes)
    signature = read_signature(model)
    x = torch.from_numpy(images()).requires_grad_()
    logits = differentiable(model, signature, images())(x)
    (expected,) = open_runner(model, Machine()).run({"x": images()})
    if signature.logits == signature.output:
        np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    assert tuple(logits.shape) == expected.shape
    assert (logits.argmax(1).numpy() == expected.argmax(1)).all()
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


@pytest.mark.parametrize("rewrite", ["guard", "clip"])
def test_gradients_pass_a_guard_with_an_alarm_and_a_clip(rewrite: str) -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    limits = tuple(np.linspace(1, 6, 6))
    plan = PruningPlan(FeatureLayer("feature", 6), rewrite, (), None, limits, rewrite == "guard")
    changed = rewritten(model, plan, shapes_of(model))
    signature = read_signature(changed)
    x = torch.from_numpy(images()).requires_grad_()
    logits = differentiable(changed, signature, images())(x)
    expected = open_runner(changed, Machine()).run({"x": images()})[0]
    np.testing.assert_allclose(logits.detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(
        expected, open_runner(model, Machine()).run({"x": images()})[0], atol=0.1
    )
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


def test_where_nothing_has_a_slope_it_is_zero() -> None:
    text = PLAIN.replace(
        "d = Flatten(p)", "q = Cast<to=6>(p)\n  r = Cast<to=1>(q)\n  d = Flatten(r)"
    )
    model = classifier(text, dict(PLAIN_SHAPES))
    x = torch.from_numpy(images()).requires_grad_()
    logits = differentiable(model, read_signature(model), images())(x)
    (gradient,) = torch.autograd.grad(logits.sum(), x)
    assert not gradient.any()


def test_its_weights_are_frozen() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    network = differentiable(model, read_signature(model), images())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(buffer.requires_grad for buffer in network.buffers())


def test_a_graph_with_channels_last_takes_images_with_channels_first() -> None:
    inner = classifier(PLAIN, dict(PLAIN_SHAPES))
    model = onnx.ModelProto()
    model.CopyFrom(inner)
    model.graph.input[0].CopyFrom(
        onnx.helper.make_tensor_value_info("nhwc", onnx.TensorProto.FLOAT, ["N", 8, 8, 3])
    )
    model.graph.node.insert(
        0, onnx.helper.make_node("Transpose", ["nhwc"], ["x"], perm=[0, 3, 1, 2])
    )
    signature = replace(read_signature(inner), input="nhwc", layout="NHWC")
    found = differentiable(model, signature, images())(torch.from_numpy(images()))
    expected = differentiable(inner, read_signature(inner), images())(torch.from_numpy(images()))
    torch.testing.assert_close(found, expected)


def test_half_precision_is_compared_within_its_own_rounding() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    for weight in list(model.graph.initializer):
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype == np.float32:
            weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), weight.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    network = differentiable(model, read_signature(model), images())
    assert network(torch.from_numpy(images())).dtype == torch.float32


def test_a_fixed_batch_takes_any_number_of_images() -> None:
    fixed = classifier(PLAIN.replace("float[N,", "float[3,"), dict(PLAIN_SHAPES))
    free = classifier(PLAIN, dict(PLAIN_SHAPES))
    found, expected = (
        differentiable(model, read_signature(model), images(7))(torch.from_numpy(images(7)))
        for model in (fixed, free)
    )
    torch.testing.assert_close(found, expected)


def test_values_that_are_not_finite_leave_it_inconclusive() -> None:
    shapes = {**PLAIN_SHAPES, "b1": (6,)}
    model = classifier(PLAIN, dict(shapes))
    weight = next(w for w in model.graph.initializer if w.name == "w1")
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, "w1"))
    with pytest.raises(InconclusiveError, match="not finite"):
        differentiable(model, read_signature(model), images())


def test_an_operator_without_a_gradient_is_named() -> None:
    model = classifier(PLAIN.replace("Relu", "RandomNormalLike"), dict(PLAIN_SHAPES))
    with pytest.raises(ModelError, match="RandomNormalLike"):
        differentiable(model, read_signature(model), images())


def test_a_difference_from_onnxruntime_is_refused() -> None:
    """Adding and taking away 1e9 leaves a double what it was, and not a float."""
    text = PLAIN.replace("logits = Gemm", "l = Gemm").replace(
        "\n}", "\n  t = Cast<to=11>(l)\n  u = Add(t, big)\n  v = Sub(u, big)\n"
        "  logits = Cast<to=1>(v)\n}"
    )  # fmt: skip
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    changed = onnx.parser.parse_model('<ir_version: 8, opset_import: ["":17]>' + text)
    changed.graph.initializer.extend(model.graph.initializer)
    changed.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1e9), "big"))
    with pytest.raises(ModelError, match="disagree"):
        differentiable(changed, read_signature(changed), images())


def test_small_logits_are_compared_too() -> None:
    """Logits a thousandth of others, whose rounding is that of the numbers added."""
    text = PLAIN.replace("logits = Gemm", "l = Gemm").replace(
        "\n}", "\n  t = Mul(l, tiny)\n  d64 = Cast<to=11>(t)\n  u = Add(d64, big)\n"
        "  v = Sub(u, big)\n  logits = Cast<to=1>(v)\n}"
    )  # fmt: skip
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    changed = onnx.parser.parse_model('<ir_version: 8, opset_import: ["":17]>' + text)
    changed.graph.initializer.extend(model.graph.initializer)
    changed.graph.initializer.append(
        onnx.numpy_helper.from_array(np.array(1e-4, np.float32), "tiny")
    )
    changed.graph.initializer.append(onnx.numpy_helper.from_array(np.array(1e3), "big"))
    with pytest.raises(ModelError, match="disagree"):
        differentiable(changed, read_signature(changed), images())


@pytest.mark.gpu
def test_cuda_gives_the_cpus_gradient() -> None:
    for text, shapes, _ in ALL.values():
        model = classifier(text, shapes)
        network = differentiable(model, read_signature(model), images())
        found = {}
        for device in ("cpu", "cuda"):
            x = torch.from_numpy(images()).to(device).requires_grad_()
            (gradient,) = torch.autograd.grad(network.to(device)(x)[:, 1].sum(), x)
            found[device] = gradient.cpu()
        torch.testing.assert_close(found["cuda"], found["cpu"], atol=1e-3, rtol=1e-3)


def test_16_bits_are_used_where_the_processor_gains_from_them() -> None:
    gains = gains_from_bfloat16(torch.cpu.get_capabilities())
    with fast_autocast(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if gains else torch.float32)


@pytest.mark.parametrize(
    ("capabilities", "gains"),
    [
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, False),
        ({}, False),
    ],
)
def test_not_every_processor_that_has_bfloat16_gains_from_it(
    capabilities: dict[str, object], gains: bool
) -> None:
    assert gains_from_bfloat16(capabilities) is gains


def test_torch_stays_on_the_cpu_beside_the_cpu_provider() -> None:
    assert torch_on(Machine()) == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert torch_on(Machine("cuda")).type == torch_on(Machine("tensorrt")).type == expected
