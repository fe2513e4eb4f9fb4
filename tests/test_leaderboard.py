"""What the leaderboard says of a model, beside what the product says of it."""

from pathlib import Path

import pytest

from benchmarks.leaderboard import Row, rating
from benchmarks.rates import Rates, rates
from hardener.measuring.intervals import wilson
from hardener.measuring.quality import Probe, measure
from hardener.model.classifier import open_classifier, open_full
from hardener.model.runtime import Machine
from models.attacks.attack import Attack
from models.recipes import RECIPES


def _row(accuracy: float, attack_success_rate: float) -> Row:
    accuracies, rates_ = {"value": accuracy}, {"value": attack_success_rate}
    return Row("victim", 0, "none", "as it came", accuracies, rates_, None, None, None, 0, "")


@pytest.mark.parametrize(
    ("accuracy", "attack_success_rate", "expected"),
    [
        (0.97, 0.0, 1.0),  # the whole attack gone, nothing lost
        (0.98, 0.0, 1.0),  # accuracy gained counts for nothing
        (0.97, 1.0, 0.5),  # nothing done
        (0.87, 1.0, 0.45),  # accuracy lost for nothing
        (0.87, 0.5, 0.7),
    ],
)
def test_the_defence_effectiveness_rating(
    accuracy: float, attack_success_rate: float, expected: float
) -> None:
    assert rating(_row(0.97, 1.0), accuracy, attack_success_rate) == pytest.approx(expected)


def test_rates_are_those_that_the_product_measures(signs_victim: Path, signs: Path) -> None:
    attack = RECIPES["alexnet-signs-badnets"].attack
    assert isinstance(attack, Attack)
    classifier = open_classifier(signs_victim)
    trigger = attack.trigger((3, 32, 32))
    assert trigger is not None
    counts = measure(
        classifier,
        open_full(classifier.proto, classifier.signature, Machine()),
        classifier.open_data(signs),
        {"clean": Probe((), trigger.label), "attacked": Probe((trigger,), trigger.label)},
    )
    found = rates(signs_victim, signs, attack)
    clean, attacked = counts["clean"], counts["attacked"]
    assert found.accuracy.value == clean.correct / clean.n
    assert found.attack_success == wilson(attacked.hits, attacked.others)
    assert found.robust_accuracy == wilson(attacked.robust, attacked.others)
    assert found.without_trigger == wilson(clean.hits, clean.others)
    assert rates(signs_victim, signs, None) == Rates(found.accuracy)
