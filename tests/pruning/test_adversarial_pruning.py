import numpy as np
import pytest
from support.planted import CHANNELS, clean_images, planted_model, scaled

from hardener.errors import InconclusiveError
from hardener.pruning.adversarial_pruning import adversarial_scores
from hardener.pruning.mask_learning import DescentSettings, LabelledImages

QUICK = DescentSettings(steps=60, learning_rate=0.05)


@pytest.mark.parametrize("backdoor", [1, 4, 8])
def test_the_planted_channel_goes_first(backdoor: int) -> None:
    """By chance it would on one network of ten."""
    network = scaled(planted_model(backdoor, seed=backdoor))
    (scores,) = adversarial_scores(network, clean_images(0), 0, lambda _: None, QUICK)
    assert scores.shape == (CHANNELS,)
    assert scores.argmax() == backdoor
    assert scores[backdoor] > 2 * np.delete(scores, backdoor).max()
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_the_same_seed_gives_the_same_scores() -> None:
    def scores(seed: int) -> list[bytes]:
        network = scaled(planted_model(3, seed=0))
        found = adversarial_scores(network, clean_images(0), seed, lambda _: None, QUICK)
        return [own.tobytes() for own in found]

    assert scores(5) == scores(5)
    assert scores(5) != scores(6)


def test_a_loss_that_is_not_finite_is_no_result() -> None:
    images = clean_images(0)
    broken = LabelledImages(np.full_like(images.inputs, np.nan), images.labels)
    with pytest.raises(InconclusiveError, match="not finite"):
        adversarial_scores(scaled(planted_model(3, seed=0)), broken, 0, lambda _: None, QUICK)
