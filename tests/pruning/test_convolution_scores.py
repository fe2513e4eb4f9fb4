import pytest
from support.graphs import DEPTHWISE, DEPTHWISE_SHAPES, classifier, shapes_of

from hardener.errors import UsageError
from hardener.model.convolutions import Convolutions, find_convolutions
from hardener.model.signature import read_signature
from hardener.pruning.convolution_scores import CONVOLUTION_CRITERIA, looked_at


def _found() -> Convolutions:
    model = classifier(DEPTHWISE, DEPTHWISE_SHAPES)
    return find_convolutions(model, read_signature(model), shapes_of(model))


@pytest.mark.parametrize("criterion", CONVOLUTION_CRITERIA)
def test_fine_pruning_looks_at_the_last_convolution_and_the_others_at_all(criterion: str) -> None:
    names = [one.layer.name for one in looked_at(criterion, _found(), None)]
    assert names == (["feature"] if criterion == "fine-pruning" else ["a", "n", "feature"])


@pytest.mark.parametrize("criterion", CONVOLUTION_CRITERIA)
def test_any_convolution_can_be_named(criterion: str) -> None:
    assert [one.layer.name for one in looked_at(criterion, _found(), "n")] == ["n"]
    with pytest.raises(UsageError, match="no convolution 'r'"):
        looked_at(criterion, _found(), "r")
