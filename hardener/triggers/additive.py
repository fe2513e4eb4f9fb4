"""Additive triggers: what blended, sinusoidal and other faint backdoors answer to."""

from dataclasses import dataclass

import numpy as np

from hardener.arrays import FloatArray
from hardener.errors import DataError
from hardener.triggers.family import Family


@dataclass(frozen=True, eq=False)
class AdditiveTrigger:
    """A perturbation of the whole image and the label it sends images to.

    Attributes:
        perturbation: (C, H, W) float32 in [-1, 1], added before normalisation.
        label: the target label.
    """

    perturbation: FloatArray
    label: int

    def __post_init__(self) -> None:
        """Checks shape and range.

        Raises:
            DataError: the array does not describe a perturbation.
        """
        values = self.perturbation
        if values.ndim != 3 or values.size == 0:
            raise DataError(f"a perturbation has shape (C, H, W), not {values.shape}")
        if not np.isfinite(values).all() or np.abs(values).max() > 1:
            raise DataError("a perturbation holds values outside -1 to 1")
        if self.label < 0:
            raise DataError(f"a trigger's label is 0 or more, not {self.label}")

    @property
    def size(self) -> float:
        """The perturbation's ℓ2 norm."""
        return self.l2

    @property
    def l2(self) -> float:
        """The perturbation's ℓ2 norm over all pixels and channels."""
        return float(np.linalg.norm(self.perturbation.astype(np.float64)))

    def stamp(self, images: FloatArray) -> FloatArray:
        """Adds the perturbation to images and clips them: `clip(x + perturbation, 0, 1)`.

        Args:
            images: (N, C, H, W) float32 in [0, 1].

        Returns:
            Perturbed images of the same shape.

        Raises:
            DataError: the images have another size or channel count than the trigger.
        """
        if images.shape[1:] != self.perturbation.shape:
            raise DataError(
                f"the trigger is for images of (C, H, W) {self.perturbation.shape}, "
                f"these are {images.shape[1:]}: use a trigger made for this model"
            )
        stamped: FloatArray = np.clip(images + self.perturbation, 0, 1)
        return stamped


def _picture(trigger: AdditiveTrigger) -> FloatArray:
    """The perturbation around middle grey, its largest value at full contrast."""
    largest = max(float(np.abs(trigger.perturbation).max()), 1e-6)
    return 0.5 + 0.5 * trigger.perturbation / largest


def _strengthened(trigger: AdditiveTrigger) -> AdditiveTrigger:
    """The perturbation doubled."""
    return AdditiveTrigger(np.clip(2 * trigger.perturbation, -1, 1), trigger.label)


ADDITIVE = Family(
    name="additive",
    trigger=AdditiveTrigger,
    arrays=("perturbation",),
    file_stem="additive",
    size_field="perturbation_l2",
    size_described="The ℓ2 norm of the perturbation, on pixels in [0, 1]",
    size_said="an ℓ2 norm of {:.2f}",
    size_shown="norm {:.2f}",
    noun="additive trigger",
    title="Faint change",
    colour="#009e73",
    mark="s",
    reaches_most_labels=True,
    picture=_picture,
    strengthened=_strengthened,
)
