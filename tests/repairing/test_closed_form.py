"""The closed form on a network whose last layer has one backdoored input."""

from dataclasses import replace

import numpy as np
import torch
from support.closed_forms import closed_form
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, images
from support.planted import TARGET, blue, clean_images, planted_model, predicted
from torch import Tensor

from hardener.model.training import with_weights
from hardener.repairing.closed_form import RIDGE, Sums

BACKDOOR = 3


def _pairs(inputs: np.ndarray, stamped: np.ndarray) -> list[tuple[Tensor, Tensor]]:
    return [
        (torch.from_numpy(inputs[i : i + 50]), torch.from_numpy(stamped[i : i + 50]))
        for i in range(0, len(inputs), 50)
    ]


def test_stamped_images_get_the_labels_of_clean_ones() -> None:
    model, data = planted_model(BACKDOOR, 0), clean_images(0)
    stamped = blue(data.inputs)
    assert set(predicted(model, stamped)) == {TARGET}
    closed = closed_form(model, 1)
    new = closed.solved(closed.sums(_pairs(data.inputs, stamped), 0), 1.0)
    cured = with_weights(model, {name: value.numpy() for name, value in new.items()})
    unseen = clean_images(1)
    before = predicted(model, unseen.inputs)
    assert np.mean(np.equal(predicted(cured, unseen.inputs), before)) > 0.98
    assert np.mean(np.equal(predicted(cured, blue(unseen.inputs)), before)) > 0.95


def test_it_solves_the_ridge_regression_that_it_says() -> None:
    model, data = planted_model(BACKDOOR, 0), clean_images(0, count=100)
    closed = closed_form(model, 1)
    sums = closed.sums(_pairs(data.inputs, blue(data.inputs)), 0)["w2"]
    weight = 0.3
    new = closed.solved({"w2": sums}, weight)
    matrix = torch.cat([new["w2"], new["b2"][:, None]], 1).double()
    old = torch.cat([closed.plan.constants["w2"], closed.plan.constants["b2"][:, None]], 1).double()
    gram = sums.clean[0] + weight * sums.stamped[0]
    ridge = RIDGE * gram.diagonal().mean()
    # The slope of the loss in the module's docstring, with Σ a(x) a(t(x))ᵀ = D + S'.
    slope = (
        (matrix - old) @ sums.clean[0]
        + weight * (matrix @ sums.stamped[0] - old @ (sums.shift[0] + sums.stamped[0]))
        + ridge * (matrix - old)
    )
    assert slope.abs().max() < 1e-4 * (old @ gram).abs().max()


def test_a_trigger_that_changes_nothing_changes_no_weight() -> None:
    model, inputs = classifier(PLAIN, PLAIN_SHAPES), images(40)
    closed = closed_form(model, 2)
    new = closed.solved(closed.sums(_pairs(inputs, inputs), 0), 1.0)
    assert set(new) == {"w1", "b1", "w2", "b2"}
    for name, value in new.items():
        torch.testing.assert_close(value, closed.plan.constants[name])


def test_sums_are_the_same_for_any_batches_where_every_place_is_drawn() -> None:
    model, inputs = classifier(PLAIN, PLAIN_SHAPES), images(40)
    closed = closed_form(model, 1)
    whole = closed.sums([(torch.from_numpy(inputs), torch.from_numpy(-inputs))], 0)["w2"]
    parts = closed.sums(
        [(torch.from_numpy(i), torch.from_numpy(-i)) for i in np.split(inputs, 4)], 0
    )["w2"]
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_layer_that_no_clean_image_wakes_is_cut_off_but_for_its_bias() -> None:
    model = classifier(PLAIN, PLAIN_SHAPES)
    closed = closed_form(model, 1)
    size = 97  # with the bias
    clean, nothing = (torch.zeros(1, size, size, dtype=torch.float64) for _ in range(2))
    clean[0, -1, -1] = 40
    new = closed.solved({"w2": Sums(clean, nothing, nothing, clean.diagonal(0, 1, 2))}, 1.0)
    torch.testing.assert_close(new["b2"], closed.plan.constants["b2"])
    assert not new["w2"].any()


def _asleep(inputs: np.ndarray) -> np.ndarray:
    """Images whose blue, by which the backdoored channel goes, is lower than any it answers to."""
    found = inputs.copy()
    found[:, 2] = found[:, 2].min()
    return found


def test_an_input_that_clean_images_never_wake_is_cut_off_though_no_trigger_wakes_it() -> None:
    model, data = planted_model(BACKDOOR, 0), clean_images(0)
    closed = closed_form(model, 1)
    inputs = _asleep(data.inputs)
    sums = closed.sums(_pairs(inputs, inputs), 0)["w2"]
    assert sums.awake[0, BACKDOOR] == 0
    new, old = closed.solved({"w2": sums}, 1.0)["w2"], closed.plan.constants["w2"]
    assert old[TARGET, BACKDOOR] > 0
    assert not new[:, BACKDOOR].any()
    others = [channel for channel in range(new.shape[1]) if sums.awake[0, channel] > 0]
    torch.testing.assert_close(new[:, others], old[:, others])


def test_where_a_class_has_no_image_nothing_is_cut_off() -> None:
    model, data = planted_model(BACKDOOR, 0), clean_images(0)
    closed = replace(closed_form(model, 1), cuts=False)
    inputs = _asleep(data.inputs)
    new = closed.solved(closed.sums(_pairs(inputs, inputs), 0), 1.0)["w2"]
    torch.testing.assert_close(new, closed.plan.constants["w2"])


def test_an_input_that_one_place_of_one_image_wakes_is_kept() -> None:
    """Of 64 places 16 are drawn for the sums, and all are looked at for what wakes."""
    text = """
    classifier (float[N,3,8,8] x) => (float[N,4] logits) {
      r = Relu(x)
      c = Conv<kernel_shape=[1,1]>(r, w1, b1)
      g = GlobalAveragePool(c)
      d = Flatten(g)
      logits = Gemm(d, w2, b2)
    }"""
    model = classifier(text, {"w1": (5, 3, 1, 1), "b1": (5,), "w2": (5, 4), "b2": (4,)})
    inputs = np.abs(images(40))
    inputs[:, 2] = 0
    closed = closed_form(model, 2)
    before = closed.sums(_pairs(inputs, inputs), 0)["w1"]
    assert before.awake[0].tolist() == [1, 1, 0, 1]
    inputs[7, 2, 5, 3] = 1
    after = closed.sums(_pairs(inputs, inputs), 0)["w1"]
    assert after.awake[0].tolist() == [1, 1, 1, 1]
