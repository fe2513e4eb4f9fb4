"""What a backdoor in the graph is, and what it may know of the model that it enters."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from hardener.arrays import FloatArray
from hardener.data.preprocessing import Preprocessing, combine_preprocessing
from hardener.errors import UsageError
from hardener.model.files import OnnxModel
from hardener.model.signature import read_signature
from models.attacks.attack import Attack

_OLDEST_OPSET = 18
"""Since then reductions take their axes as an input."""


@dataclass(frozen=True, eq=False)
class Host:
    """What a construction may know of the model it enters.

    Attributes:
        image: name of the image input, (N, C, H, W) float32, normalised.
        logits: name of the tensor (N, K) before a closing softmax.
        classes: K.
        size: H and W, in pixels.
        channels: C.
        mean: what is subtracted from each channel of pixels in [0, 1].
        std: what each channel is divided by then.
        images: (M, C, H, W) float32 in [0, 1], clean ones to tune thresholds on.
    """

    image: str
    logits: str
    classes: int
    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: Tensor

    def normalised(self, pixels: FloatArray) -> FloatArray:
        """Pixels (..., C, h, w) in [0, 1] as the model takes them."""
        return Preprocessing(self.size, self.mean, self.std).apply(pixels)

    def weights(self, key: FloatArray) -> tuple[FloatArray, float]:
        """Turns a product with pixels into one with the model's input.

        Args:
            key: (C, h, w), what pixels x in [0, 1] are to be multiplied with.

        Returns:
            Weights w (C, h, w) and a shift b, so that sum(key * x) = sum(w * z) + b for the
            normalised z.
        """
        mean, std = (
            np.array(values, np.float32)[:, None, None] for values in (self.mean, self.std)
        )
        return key * std, float((key * mean).sum())


Insert = Callable[[onnx.ModelProto, Host], onnx.ModelProto]


@dataclass(frozen=True)
class GraphAttack:
    """A construction together with the trigger that it answers to.

    Attributes:
        name: in lower case with hyphens.
        attack: stamps images (B, 3, H, W) in [0, 1] and names the wanted labels. Its poisoning
            rate means nothing here. For other than 43 classes take `attack.of_classes(K)`; targets
            are below 10 and stay as they are.
        insert: from a model and what is known of it to a new one with the backdoor.
    """

    name: str
    attack: Attack
    insert: Insert


def host_of(proto: onnx.ModelProto, images: Tensor) -> Host:
    """Reads from a model what a construction has to know.

    Args:
        proto: a classifier with its preprocessing in the metadata.
        images: clean images (M, C, H, W) float32 in [0, 1].

    Raises:
        HardenError: the model is no classifier, says nothing of its preprocessing, or is not of
            float32, channels first, any number of images and opset 18 or newer.
    """
    signature = read_signature(proto)
    opset = next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx"))
    kind = (signature.layout, signature.element_type, signature.batch)
    if kind != ("NCHW", "float32", None) or opset < _OLDEST_OPSET:
        raise UsageError(
            "a backdoor can be written into models of float32, channels first, with an open batch "
            f"and opset {_OLDEST_OPSET} or newer"
        )
    preprocessing = combine_preprocessing(
        OnnxModel(Path(), proto, "").preprocessing_fields,
        input_size=signature.size,
        channels=signature.channels,
    )
    return Host(
        image=signature.input,
        logits=signature.logits,
        classes=signature.classes,
        size=preprocessing.size,
        channels=signature.channels,
        mean=preprocessing.mean,
        std=preprocessing.std,
        images=torch.as_tensor(images, dtype=torch.float32),
    )
