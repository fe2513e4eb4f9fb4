import pytest
import torch
from safetensors.torch import save
from torch import nn

from models.alexnet import AlexNet, AlexNetSmall


@pytest.mark.parametrize(
    ("architecture", "most_bytes"), [(AlexNet, 15_000_000), (AlexNetSmall, 2_000_000)]
)
def test_fits_the_repository_and_the_papers_description(
    architecture: type[AlexNet], most_bytes: int
) -> None:
    model = architecture().eval()
    assert len(save(model.state_dict())) <= most_bytes
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 5
    assert convolutions[-1].out_channels == 128
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())
    assert model(torch.zeros(2, *architecture.input_size)).shape == (2, 43)


def test_number_of_classes_is_a_choice() -> None:
    assert AlexNetSmall(classes=5).eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 5)


def test_activations_neither_vanish_nor_explode_at_the_start() -> None:
    torch.manual_seed(0)
    logits = AlexNet().eval()(torch.randn(64, 3, 32, 32))
    assert 0.1 < logits.std() < 10
