import dataclasses
import math
from pathlib import Path

import pytest
import torch

from models.alexnet import AlexNet
from models.datasets import Split, render_split
from models.fitting import Epoch, fit, learning_rate
from models.recipes import RECIPES
from models.train import plant, run_digest

RECIPE = dataclasses.replace(RECIPES["alexnet-signs-badnets"], epochs=2, batch_size=32)


class StoppedError(Exception):
    """Stands for the plug being pulled."""


def stop(_epoch: Epoch, _model: AlexNet) -> None:
    raise StoppedError


@pytest.fixture(scope="module")
def signs() -> Split:
    return render_split(2, seed=1)


def train(signs: Split, checkpoint: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    model, _ = fit(RECIPE, signs, plant(RECIPE, signs, seed), seed=seed, checkpoint=checkpoint)
    return model.state_dict()


def test_resumed_training_ends_in_the_same_weights(signs: Split, tmp_path: Path) -> None:
    whole = train(signs, tmp_path / "whole.pt")
    with pytest.raises(StoppedError):
        fit(
            RECIPE,
            signs,
            plant(RECIPE, signs, 0),
            seed=0,
            checkpoint=tmp_path / "stopped.pt",
            on_epoch=stop,
        )
    torch.manual_seed(99)
    resumed = train(signs, tmp_path / "stopped.pt")
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_finished_training_is_not_repeated(signs: Split, tmp_path: Path) -> None:
    once = train(signs, tmp_path / "done.pt")
    model, _ = fit(RECIPE, signs, None, seed=5, checkpoint=tmp_path / "done.pt", on_epoch=stop)
    assert all(torch.equal(model.state_dict()[key], value) for key, value in once.items())


def test_seed_decides_the_weights_and_leaves_the_callers_alone(
    signs: Split, tmp_path: Path
) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = (train(signs, tmp_path / f"{seed}.pt", seed) for seed in (0, 1))
    assert any(not torch.equal(first[key], value) for key, value in second.items())
    assert torch.equal(torch.get_rng_state(), before)


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate(step / 100, 0.02, 0.15) for step in range(101)]
    assert max(rates) == rates[15] == 0.02
    assert rates[0] < 0.001
    assert math.isclose(rates[-1], 0, abs_tol=1e-12)
    assert rates[15:] == sorted(rates[15:], reverse=True)


def test_other_recipe_data_or_seed_means_another_checkpoint(signs: Split) -> None:
    splits, others = {"train": signs}, {"train": dataclasses.replace(signs, sha256="other")}
    digests = {
        run_digest(RECIPE, splits, 0),
        run_digest(RECIPE, splits, 1),
        run_digest(RECIPE, others, 0),
        run_digest(dataclasses.replace(RECIPE, poisoning=None), splits, 0),
    }
    assert len(digests) == 4
