import pytest
import torch
from torch import nn

from models.mobilenet import MobileNetSmall
from models.networks import Network, normalise
from models.resnet import ResNetSmall
from models.vgg import VGGSmall

NORMALISED = [ResNetSmall, VGGSmall, MobileNetSmall]


@pytest.mark.parametrize("architecture", NORMALISED)
def test_takes_signs_and_gives_logits_that_have_a_scale(architecture: type[Network]) -> None:
    torch.manual_seed(0)
    model = architecture(classes=5)
    logits = model(torch.randn(64, *architecture.input_size))
    assert logits.shape == (64, 5)
    assert 0.05 < logits.std() < 10
    assert len(architecture.mean) == len(architecture.std) == 3


@pytest.mark.parametrize("architecture", NORMALISED)
def test_every_convolution_is_normalised_and_the_feature_layer_is_not_negative(
    architecture: type[Network],
) -> None:
    model = architecture().eval()
    kinds = [type(layer) for layer in model.modules()]
    assert kinds.count(nn.Conv2d) == kinds.count(nn.BatchNorm2d) > 4
    assert model.features(torch.randn(2, *architecture.input_size)).min() >= 0


def test_mobilenet_is_depthwise_and_resnet_adds() -> None:
    convolutions = [m for m in MobileNetSmall().modules() if isinstance(m, nn.Conv2d)]
    assert sum(layer.groups == layer.in_channels > 1 for layer in convolutions) == 6
    block = ResNetSmall().features[3].eval()
    for parameter in block.parameters():
        parameter.data.zero_()
    maps = torch.rand(1, 24, 8, 8)
    torch.testing.assert_close(block(maps), maps)


def test_normalised_pixels_have_the_networks_mean_and_scale() -> None:
    images = torch.full((1, 3, 32, 32), 0.33)
    images[0, 0, 0, 0] = 0.6
    pixels = normalise(images, ResNetSmall())
    assert pixels[0, 0, 0, 0] == pytest.approx(1.0)
    assert pixels[0, 1].abs().max() < 1e-6
    assert pixels.is_contiguous(memory_format=torch.channels_last)
