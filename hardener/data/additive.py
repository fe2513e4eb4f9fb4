"""Additive triggers: what blended, sinusoidal and other faint backdoors answer to."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardener.arrays import FloatArray
from hardener.data.trigger_files import arrays_of, npz_of, png_of
from hardener.errors import DataError


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


def additive_npz(trigger: AdditiveTrigger) -> bytes:
    """The trigger as the content of an `.npz`, the same bytes each time."""
    return npz_of({"perturbation": trigger.perturbation}, trigger.label)


def additive_from_npz(path: Path, content: bytes) -> AdditiveTrigger:
    """Reads a trigger from the content of the file that `path` names in messages.

    Raises:
        DataError: it is not such an `.npz`, or holds pickled objects.
    """
    (perturbation,), label = arrays_of(path, content, ("perturbation",))
    try:
        return AdditiveTrigger(perturbation, label)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def additive_png(trigger: AdditiveTrigger) -> bytes:
    """A picture of the perturbation around middle grey, its largest value at full contrast."""
    largest = max(float(np.abs(trigger.perturbation).max()), 1e-6)
    return png_of(0.5 + 0.5 * trigger.perturbation / largest)
