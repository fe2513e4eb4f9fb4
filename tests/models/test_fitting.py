import dataclasses
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.alexnet import AlexNetSmall
from models.attacks.adaptive import Adaptive
from models.attacks.attack import Backdoor
from models.attacks.badnets import Patch
from models.attacks.wanet import WaNet
from models.datasets import Split, render_split
from models.fitting import Epoch, fit, images_per_epoch, learning_rate, precision_here
from models.networks import Network
from models.recipes import RECIPES, Precision, Recipe
from models.resnet import ResNetSmall
from models.train import run_digest

RECIPE = dataclasses.replace(RECIPES["alexnet-signs-badnets"], epochs=2, batch_size=32)
RESNET = dataclasses.replace(RECIPE, architecture=ResNetSmall, precision="float32", attack=None)


class StoppedError(Exception):
    """Stands for the plug being pulled."""


def stop(_epoch: Epoch, _model: Network) -> None:
    raise StoppedError


@pytest.fixture(scope="module")
def signs() -> Split:
    return render_split(2, seed=1)


def backdoor(recipe: Recipe, signs: Split, seed: int = 0) -> Backdoor:
    assert recipe.attack is not None
    return recipe.attack.plant(signs, seed)[1]


def train(signs: Split, checkpoint: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    planted = backdoor(RECIPE, signs, seed)
    model, _ = fit(RECIPE, signs, planted, seed=seed, checkpoint=checkpoint)
    return model.state_dict()


def test_resumed_training_ends_in_the_same_weights(signs: Split, tmp_path: Path) -> None:
    whole = train(signs, tmp_path / "whole.pt")
    planted, path = backdoor(RECIPE, signs), tmp_path / "stopped.pt"
    with pytest.raises(StoppedError):
        fit(RECIPE, signs, planted, seed=0, checkpoint=path, on_epoch=stop)
    torch.manual_seed(99)
    resumed = train(signs, path)
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())


@pytest.mark.parametrize("gains", [True, False])
@pytest.mark.parametrize("asked", ["bfloat16", "float32"])
def test_bfloat16_is_used_only_where_the_processor_gains_from_it(
    asked: Precision, gains: bool, signs: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"cpu_name": "AMD EPYC", "avx512_bf16": gains}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: told)
    recipe = dataclasses.replace(RECIPE, precision=asked, epochs=1)
    found = set[bool]()

    class Watched(AlexNetSmall):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found.add(torch.is_autocast_enabled("cpu"))
            return super().forward(x)

    watched = dataclasses.replace(recipe, architecture=Watched)
    fit(watched, signs, None, seed=0, checkpoint=tmp_path / "watched.pt")
    assert found == {asked == "bfloat16" and gains}
    assert precision_here(recipe) == (asked if gains else "float32")


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


def test_an_epoch_draws_its_share_of_the_images(signs: Split, tmp_path: Path) -> None:
    recipe, steps = dataclasses.replace(RECIPE, share=0.5, epochs=1), 0

    def count() -> None:
        nonlocal steps
        steps += 1

    fit(recipe, signs, None, seed=0, checkpoint=tmp_path / "half.pt", on_step=count)
    assert (images_per_epoch(recipe, signs), len(signs)) == (43, 86)
    assert steps == 2  # batches of 32


def test_retraining_leaves_all_up_to_the_feature_layer_as_it_was(
    signs: Split, tmp_path: Path
) -> None:
    start = tmp_path / "start.safetensors"
    torch.manual_seed(3)
    before = ResNetSmall().state_dict()
    save_file(before, start)
    path = tmp_path / "retrained.pt"
    after = fit(RESNET, signs, None, seed=0, checkpoint=path, start=start)[0].state_dict()
    changed = {key for key, value in before.items() if not torch.equal(after[key], value)}
    assert changed == {"classifier.2.weight", "classifier.2.bias"}


def test_noise_mode_changes_training(signs: Split, tmp_path: Path) -> None:
    attack = WaNet(rate=0.1, target=3, noise_rate=0.0)
    weights = []
    for rate in (0.0, 0.5):
        noisy = dataclasses.replace(attack, noise_rate=rate)
        recipe = dataclasses.replace(RECIPE, attack=noisy, epochs=1)
        planted, path = backdoor(recipe, signs), tmp_path / f"{rate}.pt"
        weights.append(fit(recipe, signs, planted, seed=0, checkpoint=path)[0].state_dict())
    assert any(not torch.equal(weights[0][key], value) for key, value in weights[1].items())


def test_penalty_keeps_the_gap_small(signs: Split, tmp_path: Path) -> None:
    gaps = []
    for weight in (0.0, 30.0):
        attack = Adaptive(rate=0.4, target=8, patch=Patch(size=8), weight=weight)
        recipe = dataclasses.replace(RESNET, attack=attack, epochs=3)
        planted, path = backdoor(recipe, signs), tmp_path / f"{weight}.pt"
        model, _ = fit(recipe, signs, planted, seed=0, checkpoint=path)
        images = signs.images[:16].float() / 255
        with torch.inference_mode():
            clean, stamped = (
                model.features(batch).amax(dim=(2, 3)) for batch in (images, attack.stamp(images))
            )
        gaps.append(((stamped - clean).abs().mean() / clean.mean()).item())
    assert gaps[1] < 0.5 * gaps[0]


def test_adamw_moves_weights_otherwise_than_sgd(signs: Split, tmp_path: Path) -> None:
    weights = []
    for number, recipe in enumerate((RESNET, dataclasses.replace(RESNET, optimizer="adamw"))):
        once = dataclasses.replace(recipe, epochs=1, peak_learning_rate=1e-3)
        model, _ = fit(once, signs, None, seed=0, checkpoint=tmp_path / f"{number}.pt")
        weights.append(model.state_dict()["classifier.2.weight"])
    assert not torch.equal(weights[0], weights[1])


def test_learning_rate_rises_then_falls_to_nothing() -> None:
    rates = [learning_rate(step / 100, 0.02, 0.15) for step in range(101)]
    assert max(rates) == rates[15] == 0.02
    assert rates[0] < 0.001
    assert math.isclose(rates[-1], 0, abs_tol=1e-12)
    assert rates[15:] == sorted(rates[15:], reverse=True)


def test_other_recipe_data_or_seed_means_another_checkpoint(signs: Split) -> None:
    digests = {
        run_digest(RECIPE, signs, 0),
        run_digest(RECIPE, signs, 1),
        run_digest(RECIPE, dataclasses.replace(signs, sha256="other"), 0),
        run_digest(dataclasses.replace(RECIPE, attack=None), signs, 0),
    }
    assert len(digests) == 4
