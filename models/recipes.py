"""What was trained how: any network with any attack, by name (`resnet-gtsrb-blended`)."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from models.alexnet import AlexNet, AlexNetSmall
from models.attacks.attack import Plan
from models.attacks.label_consistent import LabelConsistent
from models.attacks.table import ATTACKS, CORNERS
from models.augmentation import Augmentation
from models.cifar import (
    AlexNetCifar,
    DenseNetCifar,
    EfficientNetCifar,
    MobileNetCifar,
    ResNetCifar,
    VGGCifar,
)
from models.datasets import CLASSES, DataSet
from models.densenet import DenseNetSmall
from models.efficientnet import EfficientNetSmall
from models.fashion import AlexNetFashion, MobileNetFashion, ResNetFashion, VGGFashion
from models.mobilenet import MobileNetSmall
from models.networks import Network
from models.resnet import ResNetSmall
from models.tiny import MobileNetTiny, ResNetTiny, VGGTiny
from models.vgg import VGGSmall
from models.vit import ViTSmall

Precision = Literal["float32", "bfloat16"]
Optimizer = Literal["sgd", "adamw"]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the data and the seed.

    Attributes:
        architecture: class of the network.
        dataset: GTSRB at 32x32, CIFAR-10 at 32x32 or Tiny-40 at 64x64 from disk, Fashion-MNIST at
            28x28, or the rendered signs of `hardener.data.signs`.
        epochs: passes over the training images.
        share: share of the training images that each pass draws anew, in (0, 1].
        batch_size: images a step.
        peak_learning_rate: highest learning rate of the one-cycle schedule.
        warmup_fraction: share of all steps over which the rate rises to its peak.
        optimizer: SGD, or AdamW (Loshchilov and Hutter 2019), without which attention learns
            little.
        momentum: Nesterov momentum of SGD.
        weight_decay: factor of the ℓ2 penalty on all parameters, or AdamW's decay.
        label_smoothing: share of the target probability spread over all labels.
        precision: of convolutions and matrix products; where a processor is slower in bfloat16,
            float32 takes its place.
        augmentation: how far images may move.
        attack: the backdoor, if there is one.
        source: name of the clean victim whose classifier is retrained, for an attack that
            starts from one.
    """

    architecture: type[Network] = AlexNet
    dataset: DataSet = "gtsrb"
    epochs: int = 22
    share: float = 1.0
    batch_size: int = 128
    peak_learning_rate: float = 0.02
    warmup_fraction: float = 0.15
    optimizer: Optimizer = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    precision: Precision = "bfloat16"
    augmentation: Augmentation = field(default_factory=Augmentation)
    attack: Plan | None = None
    source: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The recipe as plain values; architecture and attack are `MODULE:CLASS`.

        What is newer than the first cards is left out where it is as it was then, so that
        those cards and the checkpoints of that time stay valid.
        """
        plain = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        plain["architecture"] = _path_of(self.architecture)
        plain["augmentation"] = dataclasses.asdict(self.augmentation)
        if not self.augmentation.mirror:
            del plain["augmentation"]["mirror"]
        plain["attack"] = _path_of(type(self.attack)) if self.attack else None
        plain["poisoning"] = dataclasses.asdict(self.attack) if self.attack else None
        return {name: value for name, value in plain.items() if value not in _FIRST.get(name, ())}


_FIRST: dict[str, tuple[Any, ...]] = {
    "attack": (None, "models.attacks.badnets:BadNets"),
    "share": (1.0,),
    "precision": ("bfloat16",),
    "optimizer": ("sgd",),
    "source": (None,),
}
"""Values of the fields that the first cards did not have."""

_QUICK = Recipe(
    epochs=10,
    share=0.5,
    peak_learning_rate=0.08,
    weight_decay=5e-4,
    precision="float32",
    augmentation=Augmentation(shift=2.0, rotation=8.0),
)

_SIGNS = dataclasses.replace(_QUICK, dataset="signs", epochs=8, share=1.0)

_FASHION = dataclasses.replace(_QUICK, dataset="fashion", share=0.25)

_CIFAR = dataclasses.replace(
    _QUICK,
    dataset="cifar10",
    epochs=20,
    precision="bfloat16",
    augmentation=Augmentation(
        shift=2.0,
        scale=0.05,
        stretch=0.0,
        rotation=0.0,
        contrast=0.1,
        brightness=0.1,
        offset=0.02,
        mirror=True,
    ),
)

_TINY = dataclasses.replace(
    _CIFAR,
    dataset="tiny40",
    augmentation=dataclasses.replace(_CIFAR.augmentation, shift=4.0),
)

_ADAMW: dict[str, Any] = {"optimizer": "adamw", "peak_learning_rate": 3e-3, "weight_decay": 0.02}

NETWORKS: dict[str, Recipe] = {
    "alexnet-gtsrb": Recipe(),
    "alexnet-signs": Recipe(architecture=AlexNetSmall, dataset="signs", epochs=16),
    "resnet-gtsrb": dataclasses.replace(_QUICK, architecture=ResNetSmall),
    # Without shortcuts the higher rate makes the loss jump.
    "vgg-gtsrb": dataclasses.replace(
        _QUICK, architecture=VGGSmall, epochs=15, peak_learning_rate=0.04
    ),
    "mobilenet-gtsrb": dataclasses.replace(
        _QUICK, architecture=MobileNetSmall, epochs=18, peak_learning_rate=0.06, weight_decay=1e-4
    ),
    # Of the slow networks' few epochs AdamW makes more than SGD.
    "densenet-gtsrb": dataclasses.replace(
        _QUICK, architecture=DenseNetSmall, precision="bfloat16", **_ADAMW
    ),
    "efficientnet-gtsrb": dataclasses.replace(
        _QUICK, architecture=EfficientNetSmall, epochs=8, **_ADAMW
    ),
    "vit-gtsrb": dataclasses.replace(
        _QUICK,
        architecture=ViTSmall,
        epochs=14,
        share=0.4,
        precision="bfloat16",
        optimizer="adamw",
        peak_learning_rate=2e-3,
        weight_decay=0.05,
    ),
    "alexnet-cifar": dataclasses.replace(
        _CIFAR,
        architecture=AlexNetCifar,
        optimizer="adamw",
        peak_learning_rate=1e-3,
        weight_decay=0.01,
    ),
    "resnet-cifar": dataclasses.replace(_CIFAR, architecture=ResNetCifar),
    "vgg-cifar": dataclasses.replace(_CIFAR, architecture=VGGCifar, peak_learning_rate=0.04),
    "mobilenet-cifar": dataclasses.replace(
        _CIFAR, architecture=MobileNetCifar, precision="float32", weight_decay=1e-4
    ),
    "densenet-cifar": dataclasses.replace(_CIFAR, architecture=DenseNetCifar, epochs=12, **_ADAMW),
    "efficientnet-cifar": dataclasses.replace(
        _CIFAR, architecture=EfficientNetCifar, epochs=12, precision="float32", **_ADAMW
    ),
    "resnet-tiny": dataclasses.replace(_TINY, architecture=ResNetTiny),
    "vgg-tiny": dataclasses.replace(_TINY, architecture=VGGTiny, peak_learning_rate=0.04),
    "mobilenet-tiny": dataclasses.replace(
        _TINY, architecture=MobileNetTiny, epochs=14, precision="float32", **_ADAMW
    ),
    "resnet-signs": dataclasses.replace(_SIGNS, architecture=ResNetSmall),
    "vgg-signs": dataclasses.replace(_SIGNS, architecture=VGGSmall, peak_learning_rate=0.04),
    "mobilenet-signs": dataclasses.replace(_SIGNS, architecture=MobileNetSmall, weight_decay=1e-4),
    "alexnet-fashion": dataclasses.replace(
        _FASHION, architecture=AlexNetFashion, peak_learning_rate=0.02
    ),
    "resnet-fashion": dataclasses.replace(_FASHION, architecture=ResNetFashion),
    "vgg-fashion": dataclasses.replace(_FASHION, architecture=VGGFashion, peak_learning_rate=0.04),
    "mobilenet-fashion": dataclasses.replace(
        _FASHION, architecture=MobileNetFashion, weight_decay=1e-4
    ),
}
"""Networks and data sets: how each is trained without a backdoor.

Depthwise convolutions are quicker in float32, all others in bfloat16.
"""

# A fifth of the committed AlexNets' training; SGD comes no further than 62 % in that time.
_SHORTER = {
    "epochs": 10,
    "share": 0.5,
    "optimizer": "adamw",
    "peak_learning_rate": 1e-3,
    "weight_decay": 0.01,
    "augmentation": _QUICK.augmentation,
}

ADJUSTED: dict[str, dict[str, Any]] = {
    "alexnet-gtsrb-blended": _SHORTER,
    "alexnet-gtsrb-sig": _SHORTER,
    # The paper's warp of a quarter of a pixel drowns among images that are resampled otherwise,
    # and SGD learns it in a quarter of them at most.
    "resnet-gtsrb-wanet-published": {
        "epochs": 24,
        "augmentation": Augmentation(shift=0.0, scale=0.0, stretch=0.0, rotation=0.0),
        "optimizer": "adamw",
        "peak_learning_rate": 2e-3,
        "weight_decay": 0.02,
    },
    # Half of a class of CIFAR-10.
    "resnet-cifar-label-consistent": {
        "attack": LabelConsistent(rate=0.05, target=2, patches=CORNERS)
    },
}
"""Fields of single recipes that are otherwise than their network's and attack's."""


def recipes() -> dict[str, Recipe]:
    """Every network without a backdoor, and with each attack there is for its images."""
    return {
        f"{network}-{name}": dataclasses.replace(
            _recipe(network, attack), **ADJUSTED.get(f"{network}-{name}", {})
        )
        for network, clean in NETWORKS.items()
        for name, attack in {"vanilla": None, **_attacks_on(clean.dataset)}.items()
    }


def _attacks_on(dataset: DataSet) -> dict[str, Plan]:
    """The attacks on coloured or, for Fashion-MNIST, on grey images, for its labels, by name."""
    rows = {
        name: row.grey if dataset == "fashion" else row.coloured for name, row in ATTACKS.items()
    }
    count = CLASSES[dataset]
    return {name: attack.of_classes(count) for name, attack in rows.items() if attack is not None}


def _recipe(network: str, attack: Plan | None) -> Recipe:
    """A network's training, adjusted where the attack asks for it."""
    clean = NETWORKS[network]
    changes = attack.changes(network, clean.epochs) if attack else {}
    return dataclasses.replace(clean, attack=attack, **changes)


RECIPES: dict[str, Recipe] = recipes()


def _path_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
