from pathlib import Path

import numpy as np
import pytest
from support.graphs import PLAIN, PLAIN_SHAPES, classifier, saved

from hardener.errors import DataError, InconclusiveError
from hardener.measuring.suitability import check_accuracy, check_classes, check_others, trigger_for
from hardener.model.classifier import open_classifier
from hardener.triggers.patch import Trigger, save_trigger

SIDE = 8


def test_a_trigger_of_another_size_is_refused_by_name(tmp_path: Path) -> None:
    model = saved(classifier(PLAIN, dict(PLAIN_SHAPES)), tmp_path / "model.onnx")
    opened = open_classifier(model)
    for side, name in ((SIDE, "fits.npz"), (SIDE + 1, "larger.npz")):
        pattern = np.ones((3, side, side), np.float32)
        save_trigger(Trigger(pattern[:1], pattern, 1), tmp_path / name)
    assert trigger_for(opened, tmp_path / "fits.npz").label == 1
    nothing = np.zeros((3, SIDE, SIDE), np.float32)
    save_trigger(Trigger(nothing[:1], nothing, 1), tmp_path / "idle.npz")
    with pytest.raises(DataError, match=r"idle\.npz .* changes no image"):
        trigger_for(opened, tmp_path / "idle.npz")
    with pytest.raises(DataError, match=r"larger\.npz is a trigger .*, .*model\.onnx takes"):
        trigger_for(opened, tmp_path / "larger.npz")
    save_trigger(Trigger(nothing[:1] + 1, nothing, 99), tmp_path / "label.npz")
    with pytest.raises(DataError, match=r"label 99, .*model\.onnx has the labels 0 to 4"):
        trigger_for(opened, tmp_path / "label.npz")


def test_images_of_the_target_alone_prove_nothing() -> None:
    labels = np.array([8] * 50 + [1] * 9)
    check_others(labels, (1,), "clean.npz")
    with pytest.raises(InconclusiveError, match=r"only 9 images of clean\.npz .* than label 8"):
        check_others(labels, (1, 8), "clean.npz")


def test_images_of_few_classes_prove_nothing_of_the_others() -> None:
    check_classes(np.array([0, 1, 2, 2]), 6, "clean.npz")
    with pytest.raises(InconclusiveError, match=r"clean\.npz holds images of 3 of the model's 7"):
        check_classes(np.array([0, 1, 2, 2]), 7, "clean.npz")


def test_images_that_the_model_does_not_know_are_refused() -> None:
    check_accuracy(0.8, 0.98, "clean.npz")
    with pytest.raises(InconclusiveError, match=r"55\.0% of clean\.npz right and got 98\.4%"):
        check_accuracy(0.55, 0.984, "clean.npz")
