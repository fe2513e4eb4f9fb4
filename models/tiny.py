"""The networks for Tiny-40: coloured images of 64x64 pixels, forty classes."""

from models.mobilenet import MobileNetSmall
from models.resnet import ResNetSmall
from models.vgg import VGGSmall

_SIZE, _MEAN, _STD = (3, 64, 64), (0.48, 0.45, 0.40), (0.28, 0.27, 0.28)


class ResNetTiny(ResNetSmall):
    """`ResNetSmall` for Tiny-40, halved once more."""

    input_size, mean, std = _SIZE, _MEAN, _STD
    widths = (24, 48, 96, 128)

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=40)


class VGGTiny(VGGSmall):
    """`VGGSmall` for Tiny-40, halved once more."""

    input_size, mean, std = _SIZE, _MEAN, _STD
    stacks = ((16,), (32,), (48,), (96, 96), (128, 128))
    hidden = 128

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=40)


class MobileNetTiny(MobileNetSmall):
    """`MobileNetSmall` for Tiny-40."""

    input_size, mean, std = _SIZE, _MEAN, _STD

    def __init__(self) -> None:
        """Builds the network with random weights."""
        super().__init__(classes=40)
