"""What every course of cures shares, whatever its triggers are: the model, images and a budget."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx
from torch import nn

from hardener.arrays import BoolArray, FloatArray, IntArray
from hardener.data.splits import stratified_sample
from hardener.documents.repair import RepairRound
from hardener.documents.scan import ScanResult
from hardener.repairing.attempts import Attempts
from hardener.repairing.cure import Patient
from hardener.repairing.distillation import DistillationSettings
from hardener.repairing.trials import Trial
from hardener.triggers.family import SyntheticTrigger

_TRIED_IMAGES = 512
_SEARCHED_IMAGES = 512
"""Of more, every second, third and so on is searched on: fewer than twice as many."""


@dataclass(frozen=True, eq=False)
class Cure:
    """A model with a cure's weights, or as it came, and what was measured of it.

    Attributes:
        proto: the model.
        found: what the document says of it.
        right: (n,) which choosing images it classifies right.
    """

    proto: onnx.ModelProto
    found: RepairRound
    right: BoolArray


@dataclass(frozen=True, eq=False)
class Course:
    """What all rounds of one repair share.

    Attributes:
        patient: the model, and the images to fit on.
        scanned: its scan.
        trial: how a model is measured.
        chosen_on: positions of the choosing images.
        held_out: positions of all images that nothing is fitted on.
        groups: (N,) which of all images are alike.
        budget: allowed loss of accuracy.
        distillation: the budget of each distillation.
        seed: of every draw.
    """

    patient: Patient
    scanned: ScanResult
    trial: Trial
    chosen_on: IntArray
    held_out: IntArray
    groups: IntArray
    budget: float
    distillation: DistillationSettings
    seed: int

    @property
    def tried_on(self) -> IntArray:
        """Positions of the choosing images that tell what an attempt leaves, at most 512."""
        labels = self.trial.source.labels[self.chosen_on]
        few: IntArray = self.chosen_on[stratified_sample(labels, _TRIED_IMAGES, self.seed)]
        return few

    @property
    def searched_images(self) -> FloatArray:
        """Those of the patient's images that searches run on."""
        images = self.patient.images
        return images[:: max(1, len(images) // _SEARCHED_IMAGES)]

    def attempts(
        self,
        trial: Trial,
        unmet: Sequence[SyntheticTrigger],
        against: Callable[[nn.Module, int], Sequence[SyntheticTrigger]],
        mending: Callable[[int], None],
    ) -> Attempts:
        """What makes and measures every attempt of a round.

        Args:
            trial: how a model is measured, with triggers that no attempt is fitted on.
            unmet: perturbations that none is fitted on either.
            against: takes a network and a seed, gives triggers that reach a label on it.
            mending: told of each finished step of a distillation.
        """
        return Attempts(
            self.patient,
            trial,
            unmet,
            self.tried_on,
            self.held_out,
            self.groups,
            self.budget,
            self.distillation,
            against,
            mending,
        )
