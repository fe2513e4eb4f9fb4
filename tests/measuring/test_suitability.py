import numpy as np
import pytest

from hardener.errors import InconclusiveError
from hardener.measuring.suitability import check_accuracy, check_others


def test_images_of_the_target_alone_prove_nothing() -> None:
    labels = np.array([8] * 50 + [1] * 9)
    check_others(labels, (1,), "clean.npz")
    with pytest.raises(InconclusiveError, match=r"only 9 images of clean\.npz .* than label 8"):
        check_others(labels, (1, 8), "clean.npz")


def test_images_that_the_model_does_not_know_are_refused() -> None:
    check_accuracy(0.5, 0.98, "clean.npz")
    with pytest.raises(InconclusiveError, match=r"1\.8% of clean\.npz right and got 98\.4%"):
        check_accuracy(0.018, 0.984, "clean.npz")
