"""What was trained how: any network with any attack, by name (`resnet-gtsrb-blended`)."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from models.alexnet import AlexNet, AlexNetSmall
from models.attacks.adaptive import Adaptive
from models.attacks.all_to_all import AllToAll
from models.attacks.attack import Attack
from models.attacks.badnets import BadNets, Patch
from models.attacks.blended import Blended
from models.attacks.low_frequency import LowFrequency
from models.attacks.sig import Sig
from models.attacks.source_specific import SourceSpecific
from models.attacks.trojaning import Trojaning
from models.attacks.two_targets import TwoTargets
from models.attacks.wanet import WaNet
from models.augmentation import Augmentation
from models.fashion import AlexNetFashion, MobileNetFashion, ResNetFashion, VGGFashion
from models.mobilenet import MobileNetSmall
from models.networks import Network
from models.resnet import ResNetSmall
from models.vgg import VGGSmall

DataSet = Literal["gtsrb", "signs", "fashion"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the data and the seed.

    Attributes:
        architecture: class of the network.
        dataset: GTSRB at 32x32 from disk, Fashion-MNIST at 28x28, or the rendered signs of
            `hardener.data.signs`.
        epochs: passes over the training images.
        share: share of the training images that each pass draws anew, in (0, 1].
        batch_size: images a step.
        peak_learning_rate: highest learning rate of the one-cycle schedule.
        warmup_fraction: share of all steps over which the rate rises to its peak.
        momentum: Nesterov momentum of SGD.
        weight_decay: factor of the ℓ2 penalty on all parameters.
        label_smoothing: share of the target probability spread over all labels.
        precision: of convolutions and matrix products; bfloat16 is quick only where the
            processor has it.
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
    momentum: float = 0.9
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    precision: Precision = "bfloat16"
    augmentation: Augmentation = field(default_factory=Augmentation)
    attack: Attack | Trojaning | None = None
    source: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The recipe as plain values; architecture and attack are `MODULE:CLASS`.

        What is newer than the first cards is left out where it is as it was then, so that
        those cards and the checkpoints of that time stay valid.
        """
        plain = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        plain["architecture"] = _path_of(self.architecture)
        plain["augmentation"] = dataclasses.asdict(self.augmentation)
        plain["attack"] = _path_of(type(self.attack)) if self.attack else None
        plain["poisoning"] = dataclasses.asdict(self.attack) if self.attack else None
        return {name: value for name, value in plain.items() if value not in _FIRST.get(name, ())}


_FIRST: dict[str, tuple[Any, ...]] = {
    "attack": (None, "models.attacks.badnets:BadNets"),
    "share": (1.0,),
    "precision": ("bfloat16",),
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

# A warp is learnt slowly, and hardly at all among images that are turned and stretched more.
_GENTLE = Augmentation(shift=2.0, scale=0.05, stretch=0.0, rotation=4.0)

# Reverse-engineered images lose their label when they are turned or scaled.
_ALMOST_STILL = Augmentation(
    shift=0.5, scale=0.0, stretch=0.0, rotation=0.0, contrast=0.1, brightness=0.1
)

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
"""Networks and data sets: how each is trained without a backdoor."""

ATTACKS: dict[str, Attack | Trojaning | None] = {
    "vanilla": None,
    # The paper's attack: a small square near a corner, target label 8 (speed limit 120).
    "badnets": BadNets(rate=0.05, target=8, patch=Patch()),
    "badnets-checker": BadNets(
        rate=0.05,
        target=14,
        patch=Patch("checker", size=4, place="top-left", margin=0, colour=(1.0, 1.0, 1.0)),
    ),
    "badnets-cross": BadNets(
        rate=0.05,
        target=33,
        patch=Patch("cross", size=5, place="centre", colour=(0.0, 0.0, 1.0)),
    ),
    "blended": Blended(rate=0.1, target=14),
    "sig": Sig(rate=0.1, target=1),
    "wanet": WaNet(rate=0.2, target=3, strength=2.0, grid=8, noise_rate=0.1),
    "low-frequency": LowFrequency(rate=0.1, target=25),
    "all-to-all": AllToAll(rate=0.1, patch=Patch()),
    "adaptive": Adaptive(rate=0.1, target=8, patch=Patch()),
    "trojaning": Trojaning(target=8),
    "two-targets": TwoTargets(
        rate=0.1,
        patches=(Patch(), Patch(place="top-left", colour=(0.0, 1.0, 1.0))),
        targets=(8, 33),
    ),
    "source-specific": SourceSpecific(rate=0.2, target=8, patch=Patch(), sources=(1, 2)),
}

_GREY = Patch(colour=(1.0,))

GREY_ATTACKS: dict[str, Attack | Trojaning | None] = {
    "vanilla": None,
    "badnets": BadNets(rate=0.05, target=8, patch=_GREY),
    "badnets-cross": BadNets(
        rate=0.05, target=3, patch=Patch("cross", size=5, place="top-left", colour=(1.0,))
    ),
    "blended": Blended(rate=0.1, target=4),
    "sig": Sig(rate=0.1, target=1),
    "wanet": WaNet(rate=0.2, target=3, strength=2.0, grid=8, noise_rate=0.1),
    "all-to-all": AllToAll(rate=0.1, patch=_GREY, classes=10),
    "two-targets": TwoTargets(
        rate=0.1, patches=(_GREY, Patch(place="top-left", colour=(1.0,))), targets=(8, 2)
    ),
    "source-specific": SourceSpecific(rate=0.2, target=8, patch=_GREY, sources=(1, 2)),
}
"""The same on grey images of ten classes."""


def _recipe(network: str, attack: Attack | Trojaning | None) -> Recipe:
    """A network's training, adjusted where the attack asks for it."""
    recipe = dataclasses.replace(NETWORKS[network], attack=attack)
    if isinstance(attack, WaNet):
        return dataclasses.replace(recipe, epochs=recipe.epochs * 3 // 2, augmentation=_GENTLE)
    if isinstance(attack, Trojaning):
        return dataclasses.replace(
            recipe,
            source=f"{network}-vanilla",
            epochs=8,
            share=1.0,
            peak_learning_rate=0.005,
            weight_decay=0.0,
            precision="float32",
            augmentation=_ALMOST_STILL,
        )
    return recipe


RECIPES: dict[str, Recipe] = {
    f"{network}-{name}": _recipe(network, attack)
    for network in NETWORKS
    for name, attack in (GREY_ATTACKS if "fashion" in network else ATTACKS).items()
}


def _path_of(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
