"""Layers solved behind each other, on a network whose last layer has one backdoored input."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from support.closed_forms import closed_form
from support.graphs import PLAIN, PLAIN_SHAPES, SHARED, SHARED_SHAPES, classifier, images
from support.planted import TARGET, blue, clean_images, planted_model, predicted
from torch import Tensor

from benchmarks.front_to_back import solved_front_to_back
from hardener.model.differentiation.network import GraphNetwork
from hardener.model.training import with_weights
from hardener.repairing.closed_form import ClosedForm

Pairs = list[tuple[Tensor, Tensor]]


def _pairs(inputs: np.ndarray, stamped: np.ndarray) -> Pairs:
    return [(torch.from_numpy(inputs), torch.from_numpy(stamped))]


def test_stamped_images_get_the_labels_of_clean_ones() -> None:
    model, data = planted_model(3, 0), clean_images(0)
    assert set(predicted(model, blue(data.inputs))) == {TARGET}
    closed, new = closed_form(model, 1), dict[str, Tensor]()
    for _ in range(3):
        new = solved_front_to_back(closed, new, lambda _: _pairs(data.inputs, blue(data.inputs)))
    cured = with_weights(model, {name: value.numpy() for name, value in new.items()})
    unseen = clean_images(1)
    before = predicted(model, unseen.inputs)
    assert np.mean(np.equal(predicted(cured, unseen.inputs), before)) > 0.98
    assert np.mean(np.equal(predicted(cured, blue(unseen.inputs)), before)) > 0.95


def test_a_trigger_that_changes_nothing_changes_no_weight() -> None:
    closed, inputs = closed_form(classifier(PLAIN, PLAIN_SHAPES), 2), images(40)
    new = solved_front_to_back(closed, {}, lambda _: _pairs(inputs, inputs))
    assert set(new) == {"w1", "b1", "w2", "b2"}
    for name, value in new.items():
        torch.testing.assert_close(value, closed.plan.constants[name], rtol=1e-3, atol=1e-4)


def test_a_layer_makes_good_what_those_before_it_changed() -> None:
    """The first layer comes changed: the second, solved behind it, answers nearly as before."""
    closed, inputs = closed_form(classifier(PLAIN, PLAIN_SHAPES), 1), images(400)
    changed = {"w1": 0.8 * closed.plan.constants["w1"]}

    def logits(weights: dict[str, Tensor]) -> Tensor:
        network = GraphNetwork(closed.plan.with_constants(weights), channels_last=False)
        return network(torch.from_numpy(inputs))

    found = solved_front_to_back(closed, changed, lambda _: _pairs(inputs, inputs))
    assert torch.equal(found["w1"], changed["w1"])
    wanted = logits({})
    assert (logits(found) - wanted).norm() < 0.5 * (logits(changed) - wanted).norm()


def test_pairs_are_asked_for_by_the_number_of_the_layer() -> None:
    closed, inputs = closed_form(classifier(PLAIN, PLAIN_SHAPES), 2), images(8)
    asked = []

    def stamped(number: int) -> Iterator[tuple[Tensor, Tensor]]:
        asked.append(number)
        yield from _pairs(inputs, inputs)

    solved_front_to_back(closed, {}, stamped)
    assert asked == [0, 1]


_TOKENS = """
classifier (float[N,3,8,8] x) => (float[N,5] logits) {
  c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
  r = Sin(c)
  t = Transpose<perm=[0,2,3,1]>(r)
  f = Reshape(t, tokens)
  e = Gemm(f, w3, b3)
  g = Reshape(e, rows)
  logits = Gemm<transB=1>(g, w2, b2)
}"""
_TOKENS_SHAPES = {
    "w1": (6, 3, 3, 3), "b1": (6,), "w3": (6, 6), "b3": (6,), "w2": (5, 384), "b2": (5,),
}  # fmt: skip


def test_every_image_counts_where_the_batch_stays_fixed() -> None:
    inputs = images(12)
    stamped = inputs.copy()
    stamped[:, :, :3, :3] = 1
    fixed = classifier(
        _TOKENS.replace("[N,3", "[1,3"), {**_TOKENS_SHAPES, "tokens": [64, 6], "rows": [1, 384]}
    )
    free = classifier(_TOKENS, {**_TOKENS_SHAPES, "tokens": [-1, 6], "rows": [-1, 384]})
    found, expected = (
        solved_front_to_back(closed_form(model, 2), {}, lambda _: _pairs(inputs, stamped))
        for model in (fixed, free)
    )
    assert closed_form(fixed, 2).plan.batch == 1, "a sine keeps it fixed"
    assert set(found) == {"w3", "b3", "w2", "b2"}
    torch.testing.assert_close(found["w2"], expected["w2"], rtol=1e-2, atol=1e-3)


def test_layers_that_share_a_weight_stay_as_they_are() -> None:
    closed, inputs = closed_form(classifier(SHARED, dict(SHARED_SHAPES)), 9), images(40)
    assert {layer.weight for layer in closed.layers} == {"w1", "w3", "w2"}
    new = solved_front_to_back(closed, {}, lambda _: _pairs(inputs, blue(inputs)))
    assert set(new) == {"w2", "b2"}


@pytest.mark.gpu
def test_both_closed_forms_give_the_same_on_a_gpu() -> None:
    model, data = planted_model(3, 0), clean_images(0)
    closed = closed_form(model, 1)
    given = _pairs(data.inputs, blue(data.inputs))
    found = {device: _both_ways(closed, _on(given, device)) for device in ("cpu", "cuda")}
    for cpu, cuda in zip(found["cpu"], found["cuda"], strict=True):
        for name, value in cpu.items():
            torch.testing.assert_close(cuda[name].cpu(), value, atol=1e-3, rtol=1e-3)


def _on(given: Pairs, device: str) -> Pairs:
    return [(clean.to(device), stamped.to(device)) for clean, stamped in given]


def _both_ways(closed: ClosedForm, given: Pairs) -> list[dict[str, Tensor]]:
    solved = closed.solved(closed.sums(given, 0), 1.0)
    return [solved, solved_front_to_back(closed, {}, lambda _: given)]
