"""A model together with what is needed to show it images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import onnx

from hardener.arrays import AnyArray, FloatArray, IntArray
from hardener.data.images import Batch, ImageSource, open_images
from hardener.data.preprocessing import Preprocessing, combine_preprocessing
from hardener.data.settings import Setting, stamp_all
from hardener.documents.identity import DataIdentity, ModelIdentity
from hardener.errors import ModelError
from hardener.files import FileName
from hardener.model.chosen_outputs import with_outputs
from hardener.model.files import OnnxModel
from hardener.model.quarantine import load_untrusted
from hardener.model.runtime import Machine, Runner, open_runner
from hardener.model.signature import Signature, read_signature

# More cost memory and no longer save time: 16 images of 224×224 on two cores.
_VALUES_PER_BATCH = 16 * 3 * 224 * 224
_LARGEST_BATCH = 256


@dataclass(frozen=True, eq=False)
class Classifier:
    """An ONNX image classifier and its preprocessing.

    Attributes:
        model: the checked file.
        signature: its input and output.
        preprocessing: how images become its input.
    """

    model: OnnxModel
    signature: Signature
    preprocessing: Preprocessing

    @property
    def proto(self) -> onnx.ModelProto:
        """The ONNX model."""
        return self.model.proto

    @property
    def batch_size(self) -> int:
        """Images a run: what the graph fixes, else 256 small ones, 16 of 224×224, fewer larger."""
        if self.signature.batch is not None:
            return self.signature.batch
        height, width = self.preprocessing.size
        values = self.preprocessing.channels * height * width
        return max(1, min(_LARGEST_BATCH, _VALUES_PER_BATCH // values))

    @property
    def identity(self) -> ModelIdentity:
        """Path and digest, as documents name the model."""
        return ModelIdentity(path=str(self.model.path), sha256=self.model.sha256)

    def feeds(self, images: FloatArray, setting: Setting = ()) -> dict[str, AnyArray]:
        """Network input for images (N, C, H, W) in [0, 1] with a setting's triggers stamped."""
        normalised = self.preprocessing.apply(stamp_all(images, setting))
        return {self.signature.input: self.signature.network_input(normalised)}

    def require_class_scores(self, scores: AnyArray, images: int) -> None:
        """Raises ModelError where the output is not what the graph declares, (N, classes)."""
        if scores.shape != (images, self.signature.classes):
            raise ModelError(
                f"{self.model.path} gives scores of shape {scores.shape} for {images} images, its "
                f"graph declares {self.signature.classes} classes"
            )

    def batches(self, source: ImageSource, indices: IntArray | None = None) -> Iterator[Batch]:
        """Streams images resized for this model, `batch_size` at a time, in ascending order."""
        return source.batches(
            size=self.preprocessing.size,
            channels=self.preprocessing.channels,
            batch_size=self.batch_size,
            indices=indices,
        )

    def images_of(self, source: ImageSource, indices: IntArray) -> FloatArray:
        """Some images all at once, (N, C, H, W) in [0, 1]; unreadable ones are left out."""
        channels, size = self.preprocessing.channels, self.preprocessing.size
        images = np.empty((len(indices), channels, *size), np.float32)
        filled = 0
        for batch in self.batches(source, indices):
            images[filled : filled + len(batch.images)] = batch.images
            filled += len(batch.images)
        return images[:filled]

    def open_data(self, path: Path) -> ImageSource:
        """Opens images labelled with this model's classes.

        Raises:
            DataError: the images cannot be read or a label is beyond the model's classes.
        """
        source = open_images(path, self.model.class_names)
        source.require_labels_of(self.signature.classes)
        return source


ModelGiven: TypeAlias = FileName | OnnxModel
"""A model to work on: an ONNX file, or one that `open_model` has opened already."""

Overrides: TypeAlias = Sequence[Mapping[str, tuple[float, ...]]]
"""Preprocessing fields `size`, `mean` and `std` that win over what stands before them."""


def path_of(given: ModelGiven) -> Path:
    """The model's file."""
    return given.path if isinstance(given, OnnxModel) else Path(given)


def open_model(
    given: ModelGiven,
    overrides: Overrides = (),
    otherwise: Mapping[str, tuple[float, ...]] = MappingProxyType({}),
) -> OnnxModel:
    """Reads and examines a model, unless that was done already.

    Args:
        given: an ONNX file, or one that is open.
        overrides: preprocessing fields, of which the size counts where the graph leaves it open.
        otherwise: fields whose size counts where the model's metadata say nothing of it either.

    Raises:
        ModelError: the model is refused, crashes or exceeds a limit.
    """
    if isinstance(given, OnnxModel):
        return given
    sizes = (fields["size"] for fields in reversed(overrides) if "size" in fields)
    return load_untrusted(Path(given), next(sizes, None), otherwise.get("size"))


def open_classifier(
    given: ModelGiven,
    overrides: Overrides = (),
) -> Classifier:
    """Reads a model and settles its preprocessing.

    Args:
        given: an ONNX file, or one that is open.
        overrides: preprocessing fields that win over the model's metadata, later over earlier.

    Raises:
        ModelError: the file is no image classifier that can be worked on.
        DataError: the preprocessing is incomplete or contradicts the model.
    """
    model = open_model(given, overrides)
    signature = read_signature(model.proto)
    preprocessing = combine_preprocessing(
        model.preprocessing_fields,
        *map(dict, overrides),
        input_size=signature.size,
        channels=signature.channels,
    )
    if not signature.seen_at(preprocessing.size, model.shapes):
        again = load_untrusted(model.path, preprocessing.size)
        if again.sha256 != model.sha256:
            raise ModelError(f"{model.path} changed since it was opened: open it again")
        model = again
    return Classifier(model, signature, preprocessing)


def data_identity(source: ImageSource) -> DataIdentity:
    """Path, digest and count of an image set, less what turned out unreadable."""
    return DataIdentity(
        path=str(source.path),
        sha256=source.sha256(),
        count=len(source) - len(source.unreadable),
        unreadable=tuple(source.unreadable),
    )


def open_full(proto: onnx.ModelProto, signature: Signature, machine: Machine) -> Runner:
    """A session of a whole model with the class scores as its only output."""
    return open_runner(with_outputs(proto, signature.output), machine, batch=signature.batch)
