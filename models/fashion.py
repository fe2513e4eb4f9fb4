"""The networks for Fashion-MNIST: grey images of 28x28 pixels, ten classes."""

from models.alexnet import AlexNetSmall
from models.mobilenet import MobileNetSmall
from models.resnet import ResNetSmall
from models.vgg import VGGSmall

_SIZE, _MEAN, _STD = (1, 28, 28), (0.286,), (0.353,)


class AlexNetFashion(AlexNetSmall):
    """`AlexNetSmall` for Fashion-MNIST."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)


class ResNetFashion(ResNetSmall):
    """`ResNetSmall` for Fashion-MNIST."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)


class VGGFashion(VGGSmall):
    """`VGGSmall` for Fashion-MNIST."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)


class MobileNetFashion(MobileNetSmall):
    """`MobileNetSmall` for Fashion-MNIST."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=10)
