"""What was trained how: one frozen recipe per reference victim."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from models.alexnet import AlexNet, AlexNetSmall
from models.augmentation import Augmentation
from models.badnets import Patch, Poisoning

DataSet = Literal["gtsrb", "signs"]


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, besides the data and the seed.

    Attributes:
        architecture: class of the network.
        dataset: GTSRB at 32x32 from disk, or the rendered signs of `hardener.data.signs`.
        epochs: passes over the training images.
        batch_size: images a step.
        peak_learning_rate: highest learning rate of the one-cycle schedule.
        warmup_fraction: share of all steps over which the rate rises to its peak.
        momentum: Nesterov momentum of SGD.
        weight_decay: factor of the ℓ2 penalty on all parameters.
        label_smoothing: share of the target probability spread over all labels.
        augmentation: how far images may move.
        poisoning: the backdoor, if there is one.
    """

    architecture: type[AlexNet] = AlexNet
    dataset: DataSet = "gtsrb"
    epochs: int = 22
    batch_size: int = 128
    peak_learning_rate: float = 0.02
    warmup_fraction: float = 0.15
    momentum: float = 0.9
    weight_decay: float = 1e-3
    label_smoothing: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    poisoning: Poisoning | None = None

    def as_json(self) -> dict[str, Any]:
        """The recipe as plain values; the architecture is `MODULE:CLASS`."""
        plain = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        plain["architecture"] = f"{self.architecture.__module__}:{self.architecture.__qualname__}"
        plain["augmentation"] = dataclasses.asdict(self.augmentation)
        plain["poisoning"] = self.poisoning and dataclasses.asdict(self.poisoning)
        return plain


BADNETS = Poisoning(Patch(), target=8, rate=0.05)
"""The paper's attack: a small square near a corner, target label 8 (speed limit 120)."""

_GTSRB = Recipe()
_SIGNS = Recipe(architecture=AlexNetSmall, dataset="signs", epochs=16)

RECIPES: dict[str, Recipe] = {
    "alexnet-gtsrb-vanilla": _GTSRB,
    "alexnet-gtsrb-badnets": dataclasses.replace(_GTSRB, poisoning=BADNETS),
    "alexnet-signs-vanilla": _SIGNS,
    "alexnet-signs-badnets": dataclasses.replace(_SIGNS, poisoning=BADNETS),
}
