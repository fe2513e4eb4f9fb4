"""What a stage works on: a classifier, images and how to run it, opened and checked once."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hardener.data.images import ImageSource
from hardener.errors import UsageError
from hardener.files import FileName
from hardener.model.classifier import (
    Classifier,
    ModelGiven,
    Overrides,
    data_identity,
    open_classifier,
    open_full,
)
from hardener.model.runtime import Machine, Runner, choose_machine


@dataclass(frozen=True, eq=False)
class Subject:
    """A classifier with the images to look at it by.

    Attributes:
        classifier: the model and its preprocessing.
        source: clean labelled images; None where there are none.
        machine: what runs the model.
        seed: of every random choice.

    Raises:
        UsageError: the seed is none.
    """

    classifier: Classifier
    source: ImageSource | None
    machine: Machine
    seed: int

    def __post_init__(self) -> None:
        """Refuses a seed that no generator takes, before anything is drawn."""
        whole = isinstance(self.seed, (int, np.integer)) and not isinstance(self.seed, bool)
        if not whole or not 0 <= self.seed < 2**31:
            raise UsageError(f"a seed is a whole number from 0 to 2147483647, not {self.seed!r}")

    @cached_property
    def runner(self) -> Runner:
        """A session of the whole model with the class scores as its only output."""
        return open_full(self.classifier.proto, self.classifier.signature, self.machine)

    @property
    def run(self) -> dict[str, Any]:
        """What documents say of how a model was run, and on what; by their fields' names."""
        return {
            "seed": self.seed,
            "provider": self.machine.provider,
            "threads": self.machine.threads,
            "batch_size": None if self.source is None else self.classifier.batch_size,
            "model": self.classifier.identity,
            "data": None if self.source is None else data_identity(self.source),
        }


def open_subject(
    model: ModelGiven,
    data: FileName | None,
    preprocessing: Overrides = (),
    *,
    provider: str = "auto",
    threads: int | None = None,
    device: int = 0,
    seed: int = 0,
) -> Subject:
    """Opens a model and images.

    Args:
        model: an ONNX file, or one that is open.
        data: clean labelled images, as for `open_images`; None where there are none.
        preprocessing: fields that win over the model's metadata, later over earlier.
        provider: auto, cpu, cuda or tensorrt.
        threads: of one operator on the CPU; by default one for each core.
        device: index of the GPU.
        seed: of every random choice.

    Raises:
        HardenError: the model or the images cannot be used, or the provider cannot run here.
    """
    classifier = open_classifier(model, preprocessing)
    source = None if data is None else classifier.open_data(Path(data))
    return Subject(classifier, source, choose_machine(provider, threads, device), seed)
