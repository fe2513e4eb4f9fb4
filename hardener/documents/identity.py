"""What was read, named so that it is known again: model, images, layer, preprocessing."""

from typing import Annotated, Self

from pydantic import AfterValidator

from hardener.data.preprocessing import Preprocessing
from hardener.frozen import Frozen


def _without_surrogates(path: str) -> str:
    # A file name need not be UTF-8; JSON must be.
    return path.encode("utf-8", "backslashreplace").decode()


PathText = Annotated[str, AfterValidator(_without_surrogates)]


class ModelIdentity(Frozen):
    """A model file that was read or written."""

    path: PathText
    sha256: str


class DataIdentity(Frozen):
    """The images that were read."""

    path: PathText
    sha256: str
    count: int
    """How many images were read."""
    unreadable: tuple[PathText, ...] = ()
    """Pictures that could not be decoded and were left out."""


class Layer(Frozen):
    """The feature layer."""

    name: str
    """Name of its tensor."""
    channels: int
    axis: int
    """The axis of the tensor that counts the channels."""


class Normalisation(Frozen):
    """The preprocessing that was used."""

    size: tuple[int, int]
    """Height and width that images are resized to."""
    mean: tuple[float, ...]
    """Mean of each channel, on pixels in [0, 1]."""
    std: tuple[float, ...]
    """Standard deviation of each channel, on pixels in [0, 1]."""

    @classmethod
    def of(cls, preprocessing: Preprocessing) -> Self:
        """The same numbers as a document's part."""
        return cls(size=preprocessing.size, mean=preprocessing.mean, std=preprocessing.std)

    @property
    def fields(self) -> dict[str, tuple[float, ...]]:
        """The same numbers as fields that win over a model's metadata."""
        return {"size": self.size, "mean": self.mean, "std": self.std}
