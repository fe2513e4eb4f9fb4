import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from models.attacks.attack import TargetedAttack
from models.attacks.table import ATTACKS, Row
from models.datasets import Part, Split, render_split
from models.recipes import recipes
from models.train import train


@dataclass(frozen=True)
class Inverted(TargetedAttack):
    """Turns an image into its negative: an attack that nothing but the table knows."""

    def stamp(self, images: torch.Tensor) -> torch.Tensor:
        return 1 - images


def test_a_line_in_the_table_is_all_that_a_new_attack_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ATTACKS, "inverted", Row(Inverted(rate=0.3, target=8)))
    made = recipes()
    assert "resnet-gtsrb-inverted" in made
    assert "resnet-fashion-inverted" not in made
    recipe = dataclasses.replace(made["alexnet-signs-inverted"], epochs=1)
    parts: tuple[Part, ...] = ("train", "valid", "test")
    signs: dict[Part, Split] = {part: render_split(1, seed=len(part)) for part in parts}

    train("inverted", recipe, signs, tmp_path / "inverted", tmp_path / "cache", seed=0)

    card = json.loads((tmp_path / "inverted.json").read_text(encoding="utf-8"))
    assert card["recipe"]["attack"].endswith("test_table:Inverted")
    assert card["recipe"]["poisoning"] == {"rate": 0.3, "target": 8}
    assert card["test"]["triggered_images"] == 42
    attack = recipe.attack
    assert attack is not None
    poisoned = attack.plant(signs["train"], seed=0)[1].poisoned
    assert int(poisoned.sum()) == round(0.3 * 43)
