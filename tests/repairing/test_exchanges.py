"""The cure of a real network whose square sends every label to the next."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from support.scans import scan_of
from support.victims import exported

from hardener.arrays import IntArray
from hardener.data.signs import write_signs
from hardener.data.splits import stratified_sample
from hardener.errors import InconclusiveError
from hardener.model.classifier import open_classifier
from hardener.model.runtime import Machine
from hardener.progress import silent
from hardener.repairing.cure import patient_of
from hardener.repairing.distillation import DISTILLATION
from hardener.repairing.exchanges import Exchanges
from hardener.repairing.trials import Trial
from hardener.triggers.patch import Trigger
from models.attacks.all_to_all import AllToAll
from models.attacks.badnets import draw_patch
from models.recipes import RECIPES

NAME = "resnet-signs-all-to-all"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("signs") / "clean.npz"
    write_signs(path, 16, seed=6)
    return path


def _exchanges(model: Path, images: Path) -> Exchanges:
    """A half of the images is fitted on, the other measures."""
    classifier, machine = open_classifier(model), Machine()
    source = classifier.open_data(images)
    fitted = stratified_sample(source.labels, len(source) // 2, 0)
    held_out = np.setdiff1d(np.arange(len(source)), fitted)
    patient = patient_of(classifier, classifier.images_of(source, fitted), machine)
    scanned = scan_of([], 0).model_copy(update={"targets": (), "accuracy": 0.98})
    return Exchanges(
        patient,
        scanned,
        Trial(classifier, source, machine),
        held_out[::2],
        held_out,
        np.arange(len(source)),
        0.02,
        DISTILLATION,
        1,
    )


def test_squares_no_longer_exchange_labels_nor_does_the_true_trigger(
    tmp_path: Path, images: Path
) -> None:
    model = exported(NAME, "ResNetSmall", tmp_path, images, "resnet.py")
    exchanges = _exchanges(model, images)
    (came, cured), trial = exchanges.run([], 1, silent, force=False)
    assert came.found.attack_success_rate >= 0.6
    assert cured.found.attack_success_rate <= 0.05
    assert cured.found.accuracy_lost <= 0.02
    assert cured.found.suspicion < 0.4

    before, after = (_true_success(trial, one.proto, exchanges.held_out) for one in (came, cured))
    assert before >= 0.8
    assert after <= 0.05


def _true_success(trial: Trial, proto: onnx.ModelProto, positions: IntArray) -> float:
    """How many images go to the next label under the true trigger."""
    attack = RECIPES[NAME].attack
    assert isinstance(attack, AllToAll)
    planted = Trigger(*draw_patch(attack.patch, (32, 32)), label=0)
    _, gone = trial.predicted(proto, [planted], positions)
    return float(np.mean(gone == (trial.source.labels[positions] + 1) % 43))


def test_a_model_that_no_square_moves_is_refused(signs: Path, tmp_path: Path) -> None:
    model = exported("alexnet-signs-vanilla", "AlexNetSmall", tmp_path, signs)
    with pytest.raises(InconclusiveError, match="too few squares"):
        _exchanges(model, signs).run([], 1, silent, force=False)
