"""Distillation on a network whose one backdoor is a weight on one corner pixel."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing
from hardener.errors import InconclusiveError
from hardener.repairing.distillation import DistillationSettings, distil
from hardener.triggers.patch import Trigger

PREPROCESSING = Preprocessing((4, 4), (0.0,), (1.0,))
CPU = torch.device("cpu")


def _images() -> FloatArray:
    return np.random.default_rng(0).uniform(0, 0.5, (256, 1, 4, 4)).astype(np.float32)


class Halves(nn.Module):
    """Two labels by the brightness of two halves, a third by the corner."""

    def __init__(self) -> None:
        super().__init__()
        weights = torch.zeros(3, 16)
        weights[0, :8], weights[1, 8:15], weights[2, 15] = 2, 2, 40
        self.weight = nn.Parameter(weights)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight.T


def _corner() -> Trigger:
    mask = np.zeros((1, 4, 4), np.float32)
    mask[0, 3, 3] = 1
    return Trigger(mask, np.ones((1, 4, 4), np.float32), 2)


def _predicted(network: nn.Module, images: FloatArray) -> list[int]:
    with torch.no_grad():
        return list(network(torch.from_numpy(images)).argmax(1).numpy())


def _distil(network: nn.Module, images: FloatArray, **more: bool) -> None:
    original = copy.deepcopy(network)
    settings = DistillationSettings(steps=400, images_per_step=64, peak_learning_rate=0.3)
    distil(
        network,
        original,
        images,
        ([_corner()],),
        PREPROCESSING,
        settings,
        0,
        lambda _: None,
        CPU,
        **more,
    )


def _dark_cornered() -> FloatArray:
    images = _images()
    images[:, :, 3, 3] = 0
    return images


def test_the_trigger_is_unlearned_and_the_rest_kept() -> None:
    images, network = _dark_cornered(), Halves()
    before = _predicted(network, images)
    stamped = _corner().stamp(images)
    assert set(_predicted(network, stamped)) == {2}
    _distil(network, images)
    assert np.mean(np.equal(_predicted(network, images), before)) > 0.95
    assert np.mean(np.equal(_predicted(network, stamped), before)) > 0.95


def test_zeroed_weights_stay_zero_where_they_shall() -> None:
    images, network = _dark_cornered(), Halves()
    zero = network.weight == 0
    _distil(network, images, keep_zeros=True)
    assert (network.weight[zero] == 0).all()
    assert (network.weight[~zero] != Halves().weight[~zero]).any()
    _distil(network, images)
    assert (network.weight[zero] != 0).any()


def test_the_images_and_their_order_stay_as_they_were() -> None:
    images = _dark_cornered()
    _distil(Halves(), images)
    np.testing.assert_array_equal(images, _dark_cornered())


def test_the_same_seed_gives_the_same_weights() -> None:
    first, again = Halves(), Halves()
    for network in (first, again):
        _distil(network, _dark_cornered())
    assert torch.equal(first.weight, again.weight)


def test_values_that_are_not_finite_are_no_result() -> None:
    network = Halves()
    network.weight.data[0, 0] = torch.inf
    with pytest.raises(InconclusiveError, match="not finite"):
        _distil(network, _images())
