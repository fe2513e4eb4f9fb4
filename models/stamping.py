"""A victim's attack by its name, for whoever stamps test images.

attack = attack_of("resnet-gtsrb-wanet", zoo)
stamped, wanted = attack.stamp(images), attack.wanted(labels)
"""

from pathlib import Path

from hardener.errors import UsageError
from models.attacks.attack import Attack
from models.recipes import RECIPES


def attack_of(name: str, folder: Path) -> Attack | None:
    """The attack that a victim was trained with; None for a clean one.

    Args:
        name: of its recipe.
        folder: where its files lie; read only for a trigger that comes from the training.

    Raises:
        UsageError: there is no such recipe.
        DataError: the trigger cannot be read.
    """
    if name not in RECIPES:
        raise UsageError(f"there is no recipe {name}: choose one of {', '.join(RECIPES)}")
    attack = RECIPES[name].attack
    return attack.trained(folder / f"{name}.trigger.npz") if attack else None
