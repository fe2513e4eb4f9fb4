from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hardener.model.classifier import open_classifier
from hardener.model.exporting import export
from hardener.model.gradients import differentiable
from models.datasets import CLASSES
from models.densenet import DenseNetSmall
from models.efficientnet import EfficientNetSmall
from models.mobilenet import MobileNetSmall
from models.networks import Network, normalise
from models.recipes import NETWORKS
from models.resnet import ResNetSmall
from models.vgg import VGGSmall
from models.vit import Attention, ViTSmall

NORMALISED = [ResNetSmall, VGGSmall, MobileNetSmall, DenseNetSmall]


@pytest.mark.parametrize("architecture", [*NORMALISED, EfficientNetSmall, ViTSmall])
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


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_fit_their_data_set_and_have_maps_as_feature_layer(name: str) -> None:
    recipe = NETWORKS[name]
    model = recipe.architecture().eval()
    maps = model.features(torch.zeros(2, *model.input_size))
    assert maps.ndim == 4
    logits = model(torch.zeros(2, *model.input_size))
    assert logits.shape == (2, CLASSES[recipe.dataset])
    if name != "alexnet-gtsrb":
        assert sum(value.numel() for value in model.state_dict().values()) < 500_000


@pytest.mark.parametrize("architecture", [DenseNetSmall, EfficientNetSmall, ViTSmall])
def test_new_networks_export_and_have_gradients(
    architecture: type[Network], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    save_file(architecture().state_dict(), tmp_path / "weights.safetensors")
    path = f"{architecture.__module__}:{architecture.__qualname__}"
    export(tmp_path / "weights.safetensors", path, tmp_path / "model.onnx")
    classifier = open_classifier(tmp_path / "model.onnx")
    images = np.random.default_rng(0).random((4, *architecture.input_size), np.float32)
    network = differentiable(classifier.proto, classifier.signature, images)
    pixels = torch.from_numpy(images).requires_grad_()
    network(pixels)[:, 0].sum().backward()
    assert pixels.grad is not None
    assert (pixels.grad.abs().amax(dim=(1, 2, 3)) > 0).all()


def test_attention_is_the_equation() -> None:
    torch.manual_seed(0)
    layer, tokens = Attention(8, 2), torch.randn(3, 5, 8)
    queries, keys, values = (
        part(tokens).view(3, 5, 2, 4).transpose(1, 2)
        for part in (layer.queries, layer.keys, layer.values)
    )
    heads = nn.functional.scaled_dot_product_attention(queries, keys, values)
    torch.testing.assert_close(layer(tokens), layer.out(heads.transpose(1, 2).reshape(3, 5, 8)))


def test_normalised_pixels_have_the_networks_mean_and_scale() -> None:
    images = torch.full((1, 3, 32, 32), 0.33)
    images[0, 0, 0, 0] = 0.6
    pixels = normalise(images, ResNetSmall())
    assert pixels[0, 0, 0, 0] == pytest.approx(1.0)
    assert pixels[0, 1].abs().max() < 1e-6
    assert pixels.is_contiguous(memory_format=torch.channels_last)
