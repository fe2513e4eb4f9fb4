import numpy as np
import onnxruntime as ort
import pytest
import torch
from support.graphs import ALL, PLAIN, PLAIN_SHAPES, classifier, images

from hardener.cores import available_cores
from hardener.errors import ModelError, ProviderError, UsageError
from hardener.model.gradients import torch_on
from hardener.model.runtime import Machine, choose_machine, open_runner
from hardener.model.signature import read_signature
from hardener.model.topology import FeatureLayer
from hardener.model.trial_heads import KEEP_INPUT, maskable_head
from hardener.scanning.activations import norms_graph


def test_the_cpu_is_always_there_and_uses_every_core() -> None:
    assert choose_machine("cpu") == Machine("cpu", available_cores())
    runner = open_runner(classifier(PLAIN, dict(PLAIN_SHAPES)), choose_machine("cpu"))
    options = runner.session.get_session_options()
    assert options.intra_op_num_threads == available_cores()


def test_threads_reach_onnxruntime_and_torch() -> None:
    machine = choose_machine("cpu", threads=1)
    runner = open_runner(classifier(PLAIN, dict(PLAIN_SHAPES)), machine)
    assert runner.session.get_session_options().intra_op_num_threads == 1
    before = torch.get_num_threads()
    torch_on(machine)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


@pytest.mark.parametrize(("threads", "device"), [(0, 0), (-1, 0), (None, -1)])
def test_threads_and_devices_that_cannot_be_are_refused(threads: int | None, device: int) -> None:
    with pytest.raises(UsageError):
        choose_machine("cpu", threads, device)


def test_auto_takes_what_works() -> None:
    try:
        best = choose_machine("cuda")
    except ProviderError:
        best = Machine()
    assert choose_machine("auto") == best


def test_an_unknown_provider_is_named() -> None:
    with pytest.raises(ProviderError, match="no provider 'abacus'"):
        choose_machine("abacus")


def test_input_that_does_not_fit_is_one_line() -> None:
    runner = open_runner(classifier(PLAIN, dict(PLAIN_SHAPES)), Machine())
    with pytest.raises(ModelError, match="onnxruntime stopped") as caught:
        runner.run({"x": images()[:, :2]})
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_cuda_gives_the_cpus_logits() -> None:
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    assert choose_machine("auto").provider == "cuda"
    both = (Machine("cuda"), Machine())
    found, expected = (open_runner(model, m).run({"x": images()})[0] for m in both)
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_fixed_batch_is_filled_up() -> None:
    text = PLAIN.replace("float[N,3,8,8] x", "float[4,3,8,8] x").replace(
        "float[N,5] logits", "float[4,5] logits"
    )
    free, fixed = classifier(PLAIN, dict(PLAIN_SHAPES)), classifier(text, dict(PLAIN_SHAPES))
    (expected,) = open_runner(free, Machine()).run({"x": images(4)})
    runner = open_runner(fixed, Machine(), batch=4)
    for count in (1, 3, 4):
        (found,) = runner.run({"x": images(4)[:count]})
        assert len(found) == 4
        np.testing.assert_allclose(found[:count], expected[:count], atol=1e-5)


def test_placed_inputs_give_what_arrays_give() -> None:
    runner = open_runner(classifier(PLAIN, dict(PLAIN_SHAPES)), Machine())
    strided = images(8)[::2]
    placed = ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(strided))
    (expected,) = runner.run({"x": strided})
    np.testing.assert_array_equal(runner.run({"x": placed})[0], expected)
    np.testing.assert_array_equal(runner.run({"x": runner.placed(strided)})[0], expected)


def test_a_placed_input_goes_with_arrays_and_errors_stay_one_line() -> None:
    text, shapes, channels = ALL["plain"]
    model = classifier(text, shapes)
    layer = FeatureLayer("feature", channels)
    runner = open_runner(maskable_head(model, layer, read_signature(model)), Machine())
    maps = np.random.default_rng(0).normal(size=(4, channels, 8, 8)).astype(np.float32)
    keep = np.eye(1, channels, dtype=np.float32)[0]
    placed = ort.OrtValue.ortvalue_from_numpy(maps)
    (expected,) = runner.run({"feature": maps, KEEP_INPUT: keep})
    (found,) = runner.run({"feature": placed, KEEP_INPUT: keep})
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ModelError, match="onnxruntime stopped") as caught:
        runner.run({"feature": placed, KEEP_INPUT: keep[:2]})
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_a_head_on_cuda_takes_a_placed_input_and_an_array() -> None:
    text, shapes, channels = ALL["plain"]
    model = classifier(text, shapes)
    head = maskable_head(model, FeatureLayer("feature", channels), read_signature(model))
    maps = np.random.default_rng(0).normal(size=(4, channels, 8, 8)).astype(np.float32)
    keep = np.eye(1, channels, dtype=np.float32)[0]
    on_cpu, on_cuda = open_runner(head, Machine()), open_runner(head, Machine("cuda"))
    (expected,) = on_cpu.run({"feature": maps, KEEP_INPUT: keep})
    placed = on_cuda.placed(maps)
    assert isinstance(placed, ort.OrtValue)
    assert placed.device_name() == "cuda"
    for _ in range(2):
        (found,) = on_cuda.run({"feature": placed, KEEP_INPUT: keep})
        np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.gpu
def test_norms_are_reduced_on_cuda() -> None:
    model, layer = classifier(PLAIN, dict(PLAIN_SHAPES)), FeatureLayer("feature", 6)
    graph = norms_graph(model, layer)
    both = (Machine("cuda"), Machine())
    found, expected = (open_runner(graph, m).run({"x": images()}) for m in both)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3)


@pytest.mark.gpu
def test_tensorrt_gives_the_cpus_logits_where_it_is_installed() -> None:
    try:
        choose_machine("tensorrt")
    except ProviderError:
        pytest.skip("TensorRT's libraries are not installed")
    model = classifier(PLAIN, dict(PLAIN_SHAPES))
    found, expected = (
        open_runner(model, m).run({"x": images()})[0] for m in (Machine("tensorrt"), Machine())
    )
    np.testing.assert_allclose(found, expected, atol=1e-2)
