"""Networks that are drawn by number."""

from benchmarks.detection import KINDS
from models.attacks.attack import TargetedAttack
from models.attacks.source_specific import SourceSpecific
from models.datasets import CLASSES
from models.drawn import name_of, recipe_of

NUMBERS = range(200)


def test_every_second_one_is_clean() -> None:
    assert [name_of(number).endswith("-vanilla") for number in NUMBERS] == [
        number % 2 == 0 for number in NUMBERS
    ]
    assert all((recipe_of(number).attack is None) == (number % 2 == 0) for number in NUMBERS)


def test_a_number_draws_the_same_network_each_time_and_others_draw_others() -> None:
    assert all(recipe_of(number) == recipe_of(number) for number in NUMBERS)
    assert len({str(recipe_of(number)) for number in NUMBERS}) > 150


def test_targets_are_labels_and_no_sources() -> None:
    drawn = [recipe_of(number) for number in NUMBERS]
    targets = [(r, r.attack.target) for r in drawn if isinstance(r.attack, TargetedAttack)]
    assert targets
    assert all(0 <= target < CLASSES[recipe.dataset] for recipe, target in targets)
    specific = [r.attack for r in drawn if isinstance(r.attack, SourceSpecific)]
    assert specific
    assert all(attack.target not in attack.sources for attack in specific)


def test_every_attack_is_of_a_kind_that_scans_name() -> None:
    attacks = {name_of(number).split("-", 2)[2] for number in NUMBERS} - {"vanilla"}
    assert attacks <= set(KINDS)
