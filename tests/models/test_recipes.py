import dataclasses
import json

from models.attacks.all_to_all import AllToAll
from models.attacks.blended import Blended
from models.attacks.table import ATTACKS
from models.attacks.trojaning import Trojaning
from models.attacks.wanet import WaNet
from models.recipes import ADJUSTED, NETWORKS, RECIPES


def test_every_pair_has_a_name() -> None:
    grey = sum("fashion" in network for network in NETWORKS)
    coloured = len(NETWORKS) - grey
    on_grey = sum(row.grey is not None for row in ATTACKS.values())
    assert len(RECIPES) == coloured * (1 + len(ATTACKS)) + grey * (1 + on_grey)
    recipe = RECIPES["mobilenet-gtsrb-sig"]
    assert recipe.attack == ATTACKS["sig"].coloured
    assert dataclasses.replace(recipe, attack=None) == NETWORKS["mobilenet-gtsrb"]


def test_targets_fit_into_the_data_set() -> None:
    attack = RECIPES["vgg-cifar-blended"].attack
    assert isinstance(attack, Blended)
    assert attack.target == 4
    moving = RECIPES["vgg-tiny-all-to-all"].attack
    assert isinstance(moving, AllToAll)
    assert moving.classes == 40


def test_adjusted_recipes_exist_and_are_adjusted() -> None:
    for name, fields in ADJUSTED.items():
        assert {field: getattr(RECIPES[name], field) for field in fields} == fields


def test_no_two_recipes_read_alike() -> None:
    texts = {json.dumps(recipe.as_json(), sort_keys=True) for recipe in RECIPES.values()}
    assert len(texts) == len(RECIPES)


def test_json_says_what_is_new_only_where_it_is() -> None:
    old, new = RECIPES["alexnet-gtsrb-badnets"].as_json(), RECIPES["vgg-gtsrb-wanet"].as_json()
    assert not {"attack", "share", "precision", "optimizer", "source"} & set(old)
    assert "mirror" not in old["augmentation"]
    assert RECIPES["vit-gtsrb-vanilla"].as_json()["optimizer"] == "adamw"
    assert RECIPES["vgg-cifar-vanilla"].as_json()["augmentation"]["mirror"]
    assert new["attack"] == "models.attacks.wanet:WaNet"
    assert new["share"] == 0.5
    assert new["precision"] == "float32"
    attack = RECIPES["vgg-gtsrb-wanet"].attack
    assert isinstance(attack, WaNet)
    assert new["poisoning"] == dataclasses.asdict(attack)


def test_trojaning_starts_from_the_clean_victim_of_the_same_network() -> None:
    for name, recipe in RECIPES.items():
        if isinstance(recipe.attack, Trojaning):
            assert recipe.source == name.replace("trojaning", "vanilla")
            assert recipe.source in RECIPES
        else:
            assert recipe.source is None
