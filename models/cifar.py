"""The networks for CIFAR-10: coloured images of 32x32 pixels, ten classes."""

from models.alexnet import AlexNetSmall
from models.densenet import DenseNetSmall
from models.efficientnet import EfficientNetSmall
from models.mobilenet import MobileNetSmall
from models.resnet import ResNetSmall
from models.vgg import VGGSmall

_SIZE, _MEAN, _STD = (3, 32, 32), (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


class AlexNetCifar(AlexNetSmall):
    """`AlexNetSmall` for CIFAR-10."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)


class ResNetCifar(ResNetSmall):
    """`ResNetSmall` for CIFAR-10."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)


class VGGCifar(VGGSmall):
    """`VGGSmall` for CIFAR-10."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)


class MobileNetCifar(MobileNetSmall):
    """`MobileNetSmall` for CIFAR-10."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)


class DenseNetCifar(DenseNetSmall):
    """`DenseNetSmall` for CIFAR-10."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)


class EfficientNetCifar(EfficientNetSmall):
    """`EfficientNetSmall` for CIFAR-10."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)
