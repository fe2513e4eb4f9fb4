"""Networks as strangers might train them: a number draws one, with or without a backdoor.

Network, images, attack, its poisoning rate, the target of those that have one, the look of patches
and blended pictures, and the habits of training are drawn from the number alone. Nothing is ever
set with these networks in view: they only report. `benchmarks/drawn.py` trains and scans them.
"""

import dataclasses
from pathlib import Path
from typing import Any, get_args

import numpy as np

from models.attacks.attack import Attack, TargetedAttack
from models.attacks.badnets import BadNets, Patch, Place, Shape
from models.attacks.blended import Blended
from models.augmentation import Augmentation
from models.datasets import CLASSES
from models.recipes import RECIPES, Recipe

FOLDER = Path("~/.cache/hardener/drawn")

_SEED = 21
_NETWORKS = (
    "alexnet-cifar",
    "resnet-cifar",
    "vgg-cifar",
    "mobilenet-cifar",
    "densenet-cifar",
    "resnet-gtsrb",
    "vgg-gtsrb",
    "mobilenet-gtsrb",
    "resnet-signs",
    "vgg-signs",
    "mobilenet-signs",
)
_ATTACKS = (
    "badnets",
    "blended",
    "sig",
    "wanet",
    "bpp",
    "ftrojan",
    "photo-filter",
    "low-frequency",
    "all-to-all",
    "two-targets",
    "adap-blend",
    "source-specific",
)
_STILL = Augmentation(
    shift=0.0,
    scale=0.0,
    stretch=0.0,
    rotation=0.0,
    contrast=0.0,
    brightness=0.0,
    offset=0.0,
)


def name_of(number: int) -> str:
    """Network, images and attack of the network with this number, as recipes name them.

    Even numbers have none.
    """
    draw = np.random.default_rng((_SEED, number))
    network = _NETWORKS[draw.integers(len(_NETWORKS))]
    attack = "vanilla" if number % 2 == 0 else _ATTACKS[draw.integers(len(_ATTACKS))]
    return f"{network}-{attack}"


def recipe_of(number: int) -> Recipe:
    """How the network with this number is trained; the number is the seed as well."""
    draw = np.random.default_rng((_SEED, number, 1))
    usual = RECIPES[name_of(number)]

    def one_of(*values: Any) -> Any:  # noqa: ANN401  fields of several types
        return values[draw.integers(len(values))]

    habits = {
        "epochs": max(3, round(usual.epochs * one_of(0.3, 0.5, 0.8))),
        "peak_learning_rate": usual.peak_learning_rate * one_of(0.5, 1.0),
        "weight_decay": usual.weight_decay * one_of(0.0, 1.0, 4.0),
        "label_smoothing": one_of(0.0, 0.0, 0.1),
        "augmentation": one_of(usual.augmentation, usual.augmentation, _STILL),
    }
    recipe = dataclasses.replace(usual, **habits)
    if not isinstance(usual.attack, Attack):
        return recipe
    changed: dict[str, Any] = {"rate": usual.attack.rate * one_of(0.5, 1.0, 2.0)}
    if isinstance(usual.attack, TargetedAttack):
        taken = getattr(usual.attack, "sources", ())
        free = [label for label in range(CLASSES[usual.dataset]) if label not in taken]
        changed["target"] = one_of(*free)
    if isinstance(usual.attack, BadNets):
        changed["patch"] = Patch(
            one_of(*get_args(Shape)),
            one_of(3, 4, 5),
            one_of(*get_args(Place)),
            one_of(0, 1, 3),
            tuple(map(float, draw.integers(0, 2, 3))),
        )
    if isinstance(usual.attack, Blended):
        changed |= {"alpha": one_of(0.1, 0.15, 0.2), "seed": number}
    return dataclasses.replace(recipe, attack=dataclasses.replace(usual.attack, **changed))
