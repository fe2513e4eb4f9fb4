import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from hardener.files import sha256_of
from hardener.triggers.patch import load_trigger
from models.attacks.badnets import BadNets
from models.recipes import RECIPES

WEIGHTS = Path(__file__).parents[2] / "models" / "weights"
COMMITTED = sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))
WITH_A_PATCH = [name for name in COMMITTED if isinstance(RECIPES[name].attack, BadNets)]


def test_they_are_all_there() -> None:
    sets, kinds = ("gtsrb", "signs"), ("badnets", "vanilla")
    alexnets = [f"alexnet-{data}-{kind}" for data in sets for kind in kinds]
    resnets = [f"resnet-signs-all-to-all{kind}" for kind in ("", "-blended")]
    assert [*alexnets, *resnets] == COMMITTED


def card_of(name: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
    return card


@pytest.mark.parametrize("name", COMMITTED)
def test_card_describes_the_weights_beside_it(name: str) -> None:
    card, weights = card_of(name), WEIGHTS / f"{name}.safetensors"
    assert card["model"]["path"] == weights.name
    assert card["model"]["sha256"] == sha256_of(weights)
    assert card["model"]["bytes"] == weights.stat().st_size
    state = load_file(weights)
    RECIPES[name].architecture().load_state_dict(state)
    assert card["model"]["parameters"] == sum(value.numel() for value in state.values())


@pytest.mark.parametrize("name", COMMITTED)
def test_card_names_the_recipe_as_it_stands(name: str) -> None:
    assert card_of(name)["recipe"] == json.loads(json.dumps(RECIPES[name].as_json()))


@pytest.mark.parametrize("name", COMMITTED)
def test_victim_is_accurate_on_the_test_images(name: str) -> None:
    card, gtsrb = card_of(name), RECIPES[name].dataset == "gtsrb"
    assert card["test"]["accuracy"] >= (0.965 if gtsrb else 0.90)
    assert card["test"]["images"] == card["data"]["test"]["count"] == (12_630 if gtsrb else 2_580)


@pytest.mark.parametrize("name", WITH_A_PATCH)
def test_backdoor_works_and_its_trigger_is_the_recipes(name: str) -> None:
    card, path = card_of(name), WEIGHTS / f"{name}.trigger.npz"
    assert card["test"]["attack_success_rate"] >= 0.9
    assert card["trigger"] == {"path": path.name, "sha256": sha256_of(path), "label": 8}
    trigger, attack = load_trigger(path), RECIPES[name].attack
    assert isinstance(attack, BadNets)
    drawn = attack.trigger((3, 32, 32))
    np.testing.assert_array_equal(trigger.mask, drawn.mask)
    np.testing.assert_array_equal(trigger.pattern, drawn.pattern)
