import numpy as np
import onnx
import pytest
from support.planted import CHANNELS, CPU, clean_images, planted_model, predicted, scaled

from hardener.errors import InconclusiveError
from hardener.model.signature import read_signature
from hardener.pruning.mask_learning import LabelledImages
from hardener.pruning.reconstructive_pruning import reconstructive_scores, unlearned


def _unlearned(model: onnx.ModelProto, images: LabelledImages, seed: int = 0) -> onnx.ModelProto:
    return unlearned(model, read_signature(model), images, seed, CPU, lambda _: None)


def test_clean_images_are_forgotten_and_the_model_itself_stays() -> None:
    model, images = planted_model(4, seed=1), clean_images(1)
    before = model.SerializeToString()
    changed = _unlearned(model, images)
    assert np.mean(np.equal(predicted(model, images.inputs), images.labels)) == 1
    assert np.mean(np.equal(predicted(changed, images.inputs), images.labels)) < 0.2
    assert model.SerializeToString() == before
    assert list(changed.graph.node) == list(model.graph.node)


@pytest.mark.parametrize("backdoor", [1, 4, 8])
def test_the_planted_channel_goes_first(backdoor: int) -> None:
    """By chance it would on one network of ten."""
    images = clean_images(0)
    network = scaled(_unlearned(planted_model(backdoor, seed=backdoor), images))
    (scores,) = reconstructive_scores(network, images, 0, lambda _: None)
    assert scores.shape == (CHANNELS,)
    assert scores[backdoor] > np.delete(scores, backdoor).max()


def test_the_same_seed_gives_the_same_scores() -> None:
    def scores(seed: int) -> list[bytes]:
        images = clean_images(0)
        network = scaled(_unlearned(planted_model(3, seed=0), images, seed))
        return [own.tobytes() for own in reconstructive_scores(network, images, seed, print)]

    assert scores(5) == scores(5)
    assert scores(5) != scores(6)


def test_a_loss_that_is_not_finite_is_no_result() -> None:
    images = clean_images(0)
    broken = LabelledImages(np.full_like(images.inputs, np.nan), images.labels)
    with pytest.raises(InconclusiveError, match="not finite"):
        _unlearned(planted_model(3, seed=0), broken)
