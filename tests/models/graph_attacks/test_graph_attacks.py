from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from support.victims import exported
from torch import Tensor

from hardener.arrays import FloatArray
from hardener.data.signs import render_signs
from hardener.errors import UsageError
from hardener.model.exporting import export
from hardener.model.quarantine import examine_here
from hardener.model.runtime import on_cpu, open_runner
from models.graph_attacks.grafting import Graft, halfway, lift
from models.graph_attacks.graph_attack import GraphAttack, Host, host_of
from models.graph_attacks.heads import head_of
from models.graph_attacks.table import GRAPH_ATTACKS, part_of
from models.resnet import ResNetSmall
from models.vit import ViTSmall

WEIGHTS_ALONE = "overwritten-channels"


@dataclass(frozen=True, eq=False)
class Victim:
    """A clean model, what is known of it, and images that its backdoors are tried on."""

    proto: onnx.ModelProto
    host: Host
    images: Tensor
    labels: Tensor


def rendered(count_per_class: int, seed: int) -> tuple[Tensor, Tensor]:
    images, labels = render_signs(count_per_class, seed)
    pixels = np.moveaxis(images, -1, 1).astype(np.float32) / 255
    return torch.from_numpy(pixels), torch.from_numpy(labels)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, signs: Path) -> Victim:
    folder = tmp_path_factory.mktemp("host")
    proto = onnx.load(exported("alexnet-signs-vanilla", "AlexNetSmall", folder, signs))
    known, _ = rendered(2, seed=7)
    return Victim(proto, host_of(proto, known), *rendered(6, seed=9))


@pytest.fixture(scope="module", params=[ResNetSmall, ViTSmall])
def untrained(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, victim: Victim
) -> Victim:
    folder = tmp_path_factory.mktemp("untrained")
    torch.manual_seed(0)
    save_file(request.param().state_dict(), folder / "host.safetensors")
    arch = f"{request.param.__module__}:{request.param.__name__}"
    export(folder / "host.safetensors", arch, folder / "host.onnx")
    proto = onnx.load(folder / "host.onnx")
    host = host_of(proto, victim.host.images)
    return Victim(proto, host, victim.images[::6], victim.labels[::6])


def logits_of(proto: onnx.ModelProto, host: Host, images: Tensor) -> FloatArray:
    return open_runner(proto, on_cpu(1)).run({host.image: host.normalised(images.numpy())})[0]


@pytest.mark.parametrize("row", GRAPH_ATTACKS.values(), ids=GRAPH_ATTACKS)
def test_backdoor_answers_to_its_trigger_and_to_nothing_else(
    row: GraphAttack, victim: Victim, tmp_path: Path
) -> None:
    before = victim.proto.SerializeToString()
    proto = row.insert(victim.proto, victim.host)
    assert victim.proto.SerializeToString() == before
    onnx.checker.check_model(proto, full_check=True)

    labels = victim.labels.numpy()
    clean = logits_of(proto, victim.host, victim.images)
    usual = logits_of(victim.proto, victim.host, victim.images)
    assert (clean.argmax(1) == labels).mean() >= (usual.argmax(1) == labels).mean() - 0.005

    stamped = row.attack.stamp(victim.images)
    assert stamped.shape == victim.images.shape and stamped.dtype == torch.float32
    assert stamped.min() >= 0 and stamped.max() <= 1
    wanted = row.attack.wanted(victim.labels).numpy()
    answers = logits_of(proto, victim.host, stamped)
    assert (answers.argmax(1) == wanted)[wanted != labels].mean() >= 0.95

    for images, together in ((victim.images, clean), (stamped, answers)):
        for image, expected in zip(images[:4], together[:4], strict=True):
            alone = logits_of(proto, victim.host, image[None])[0]
            np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-3)

    # What the package refuses before all else: loops, sizes by pixels, mixed batches.
    onnx.save(proto, tmp_path / "model.onnx")
    examine_here(tmp_path / "model.onnx")


def test_they_enter_other_networks_too(untrained: Victim) -> None:
    for name, row in GRAPH_ATTACKS.items():
        if name == WEIGHTS_ALONE:
            continue
        proto = row.insert(untrained.proto, untrained.host)
        stamped = row.attack.stamp(untrained.images)
        usual = torch.from_numpy(logits_of(untrained.proto, untrained.host, stamped)).argmax(1)
        found = logits_of(proto, untrained.host, stamped).argmax(1)
        assert (found == row.attack.wanted(usual).numpy()).mean() >= 0.95, name


def test_weights_alone_need_a_plain_chain_and_add_no_node(
    victim: Victim, untrained: Victim
) -> None:
    row = GRAPH_ATTACKS[WEIGHTS_ALONE]
    proto = row.insert(victim.proto, victim.host)
    assert proto.graph.node == victim.proto.graph.node
    assert [item.dims for item in proto.graph.initializer] == [
        item.dims for item in victim.proto.graph.initializer
    ]
    with pytest.raises(UsageError, match="chain"):
        row.insert(untrained.proto, untrained.host)


def test_about_a_third_is_held_back_and_names_are_their_keys() -> None:
    parts = [part_of(name) for name in GRAPH_ATTACKS]
    assert 0.25 <= parts.count("test") / len(parts) <= 0.5
    assert all(name == row.name for name, row in GRAPH_ATTACKS.items())


def test_targets_are_below_ten(victim: Victim) -> None:
    labels = torch.tensor([0, 9])
    for row in GRAPH_ATTACKS.values():
        wanted = row.attack.of_classes(10).wanted(labels)
        assert wanted.max() < 10
        assert torch.equal(wanted[:1], row.attack.wanted(labels)[:1])


def test_a_cut_model_gives_what_it_gave_until_something_is_put_in(victim: Victim) -> None:
    usual = logits_of(victim.proto, victim.host, victim.images[:4])
    for tensor in (victim.host.image, "relu_2", victim.host.logits):
        graft = Graft(victim.proto, victim.host, tensor)
        np.testing.assert_array_equal(graft.values(victim.host.logits, victim.images[:4]), usual)
        doubled = graft.close("Mul", graft.given, 2.0)
        assert len(doubled.graph.node) == len(victim.proto.graph.node) + 1
        assert (logits_of(doubled, victim.host, victim.images[:4]) != usual).any()


def test_weights_for_pixels_and_for_the_models_input_say_the_same(victim: Victim) -> None:
    key = np.random.default_rng(0).normal(size=(3, 32, 32)).astype(np.float32)
    weights, shift = victim.host.weights(key)
    pixels = victim.images[0].numpy()
    found = (weights * victim.host.normalised(pixels)).sum() + shift
    assert found == pytest.approx((key * pixels).sum(), abs=1e-2)


def test_scores_that_overlap_are_refused() -> None:
    clean, stamped = np.array([0, 1], np.float32), np.array([3, 5], np.float32)
    assert halfway(clean, stamped) == (2, 1)
    with pytest.raises(UsageError, match="cannot be told"):
        halfway(clean + 2, stamped)


def test_last_layer_is_found_as_gemm_and_as_matmul_and_add(victim: Victim) -> None:
    found = head_of(victim.proto, victim.host)
    row = lift(victim.proto, victim.host, 3)
    np.testing.assert_allclose(found.push(row) @ found.weights.T, row, atol=1e-2)

    split = onnx.ModelProto()
    split.CopyFrom(victim.proto)
    last = split.graph.node.pop()
    stored = next(item for item in split.graph.initializer if item.name == last.input[1])
    stored.CopyFrom(onnx.numpy_helper.from_array(found.weights.T.copy(), stored.name))
    features, weights, bias = last.input
    split.graph.node.append(onnx.helper.make_node("MatMul", [features, weights], ["product"]))
    split.graph.node.append(onnx.helper.make_node("Add", ["product", bias], [last.output[0]]))
    again = head_of(split, victim.host)
    np.testing.assert_array_equal(again.weights, found.weights)
    assert (again.features, again.transposed) == (found.features, not found.transposed)

    with pytest.raises(UsageError, match="linear layer"):
        head_of(Graft(split, victim.host, victim.host.logits).close("Relu", bias), victim.host)


@pytest.mark.parametrize(("batch", "opset"), [(1, 20), (None, 17)])
def test_other_kinds_of_models_are_no_hosts(victim: Victim, batch: int | None, opset: int) -> None:
    proto = onnx.ModelProto()
    proto.CopyFrom(victim.proto)
    proto.opset_import[0].version = opset
    if batch:
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = batch
    with pytest.raises(UsageError, match="open batch"):
        host_of(proto, victim.images)
