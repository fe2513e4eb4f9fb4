import numpy as np

from hardener.results import LastLayerEvidence, MarginEvidence
from hardener.scanning.calibration import shipped
from hardener.scanning.without_images import WithoutImages, accused_unsearched, label_scores

ROWS = LastLayerEvidence(mean_weights=(), anomaly_indices=(*[0.0] * 19, 40.0), suspect=19)


def test_the_stronger_of_margins_and_weights_counts_for_a_label() -> None:
    margins = MarginEvidence(largest=(), suspect=3, p_value=1e-25)
    scores = label_scores(WithoutImages(margins, ROWS, ()), 20)
    assert set(np.flatnonzero(scores >= shipped().backdoored_from)) == {3, 19}


def test_a_label_that_stands_out_and_was_not_searched_is_named() -> None:
    scores = label_scores(WithoutImages(None, ROWS, ()), 20)
    (said,) = accused_unsearched(scores, range(10))
    assert said.startswith("label 19 stands out")
    assert accused_unsearched(scores, [19]) == ()
