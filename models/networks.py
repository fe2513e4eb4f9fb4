"""The networks a victim can be.

Each maps normalised images to logits, names its `input_size`, `mean` and `std`, and holds its
convolutional part as `features`, whose output is the feature layer.
"""

import torch
from torch import Tensor

from models.alexnet import AlexNet
from models.densenet import DenseNetSmall
from models.efficientnet import EfficientNetSmall
from models.mobilenet import MobileNetSmall
from models.resnet import ResNetSmall
from models.vgg import VGGSmall
from models.vit import ViTSmall

Network = (
    AlexNet | ResNetSmall | VGGSmall | MobileNetSmall | DenseNetSmall | EfficientNetSmall | ViTSmall
)


def normalise(images: Tensor, model: Network) -> Tensor:
    """Turns images (B, 3, H, W) in [0, 1] into the network's input, channels last."""
    mean = torch.tensor(model.mean).view(-1, 1, 1)
    std = torch.tensor(model.std).view(-1, 1, 1)
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)
