"""The cure of an attack from all labels to all, whose trigger is a square that exchanges labels.

There is no label to search triggers for. Squares in many places and colours are tried, as the scan
does; half of those that exchange labels are fitted on, the others measure. What counts as success
is that an image still goes where the model as it came sends it under that square.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from torch import nn

from hardener.arrays import IntArray
from hardener.data.splits import stratified_sample
from hardener.documents.repair import RepairRound
from hardener.documents.scan import ScanResult, SquareEvidence
from hardener.errors import InconclusiveError
from hardener.measuring.suitability import check_accuracy
from hardener.progress import Progress, counting
from hardener.repairing.attempts import DISTILLED, Attempts
from hardener.repairing.choice import another_round_helps
from hardener.repairing.closed_form import Sums
from hardener.repairing.cure import Patient
from hardener.repairing.distillation import DistillationSettings
from hardener.repairing.residual import Probes
from hardener.repairing.rounds import TRIED_IMAGES, Cure
from hardener.repairing.trials import Trial
from hardener.scanning.calibration import shipped
from hardener.scanning.screening import places, scattered, try_squares
from hardener.triggers.families import strengthened
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

_EXCHANGED = 0.5
"""Of what the strongest square exchanges: those that exchange as much count."""
_MEASURING = 8
"""Squares that measure, at most."""
_NOWHERE = -1
"""Where an image is sent that a square does not move."""


@dataclass(frozen=True, eq=False)
class Exchanges:
    """What all rounds of one repair share; as `Rounds`, for squares that exchange labels.

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

    def run(
        self, triggers: Sequence[SyntheticTrigger], most: int, progress: Progress, *, force: bool
    ) -> tuple[list[Cure], Trial]:
        """Cures until squares no longer exchange labels, or another round does not help.

        Args:
            triggers: the scan's square.
            most: at most so many rounds.
            progress: told how far it is.
            force: goes on where the model does not know the images.

        Returns:
            The model as it came and every cure, and what measured them.

        Raises:
            InconclusiveError: the model does not know the images, or too few squares exchange
                labels to measure a cure by.
        """
        images = self.patient.images
        searching = counting(progress, "trying squares", places(*images.shape[2:]) * (most + 1))
        mending = counting(progress, "distilling", most * DISTILLED * self.distillation.steps)

        def squares(network: nn.Module) -> tuple[Trigger, ...]:
            labels = range(self.patient.signature.classes)
            where = images, self.patient.preprocessing, labels, searching, self.patient.device
            return try_squares(network, *where).scattering

        fitted, measuring = self._divided([*triggers, *squares(self.patient.frozen)])
        larger = [strengthened(square) for square in measuring]
        trial = replace(
            self.trial,
            unseen=measuring,
            stronger=larger,
            sent_to=self._sent_to([*measuring, *larger]),
        )
        cures = [self._came(trial, force=force)]
        attempts = Attempts(
            self.patient,
            trial,
            (),
            self._tried_on,
            self.held_out,
            self.groups,
            self.budget,
            self.distillation,
            lambda network, _: squares(network),
            mending,
        )
        known: list[SyntheticTrigger] = [*fitted, *map(strengthened, fitted)]
        sums = dict[str, Sums]()
        for number in range(1, most + 1):
            seed = self.seed + number
            own = self.patient.sums((known,), seed)
            sums = {name: sums[name] + one if sums else one for name, one in own.items()}
            best = attempts.best(sums, (known,), seed)
            proto = self.patient.with_weights(best.weights)
            left = squares(best.network)
            attacked, _ = trial.counts(proto, self.chosen_on)
            found = RepairRound(
                triggers=len(known) + best.met,
                weight=best.weight,
                distilled=best.distilled,
                accuracy_lost=best.lost,
                accuracy=attacked.clean.correct / attacked.clean.n,
                attack_success_rate=attacked.unseen.success_rate,
                robust_accuracy=attacked.unseen.robust_accuracy,
                strengthened_success_rate=attacked.strengthened.success_rate,
                strengthened_tries=attacked.strengthened.others,
                suspicion=self._suspicion(proto, left[0]),
            )
            cures.append(Cure(proto, found, attacked.right))
            if not another_round_helps([cure.found for cure in cures]):
                break
            known += [*left, *map(strengthened, left)]
        return cures, trial

    def probes(self, _: Sequence[SyntheticTrigger], measured: Trial) -> Probes:
        """What tells how much of the attack is left: squares that no cure was fitted on.

        Args:
            measured: what measured the rounds.
        """
        return {"squares": measured.unseen, "squares, larger": measured.stronger}

    @property
    def _tried_on(self) -> IntArray:
        labels = self.trial.source.labels[self.chosen_on]
        few: IntArray = self.chosen_on[stratified_sample(labels, TRIED_IMAGES, self.seed)]
        return few

    def _divided(
        self, squares: Sequence[SyntheticTrigger]
    ) -> tuple[list[SyntheticTrigger], list[SyntheticTrigger]]:
        """Of squares that exchange labels those to fit on and those to measure by.

        Raises:
            InconclusiveError: there are fewer than two.
        """
        own, *gone = self.trial.predicted(self.patient.proto, squares, self._tried_on)
        strength = [scattered(own, after) for after in gone]
        order = np.argsort([-one for one in strength], kind="stable")
        working = [squares[one] for one in order if strength[one] >= _EXCHANGED * max(strength)]
        if len(working) < 2 or shipped().moving_score(max(strength)) < shipped().clean_below:
            raise InconclusiveError(
                "too few squares exchange the labels of these images: no repair could be measured "
                "by them; use the scan's images, or more"
            )
        return working[::2], working[1::2][:_MEASURING]

    def _came(self, trial: Trial, *, force: bool) -> Cure:
        """The model before any cure."""
        attacked, _ = trial.counts(self.patient.proto, self.chosen_on)
        accuracy = attacked.clean.correct / attacked.clean.n
        if not force:
            check_accuracy(accuracy, self.scanned.accuracy, "these images")
        found = RepairRound(
            triggers=0,
            weight=0.0,
            accuracy=accuracy,
            attack_success_rate=attacked.unseen.success_rate,
            robust_accuracy=attacked.unseen.robust_accuracy,
            strengthened_success_rate=attacked.strengthened.success_rate,
            strengthened_tries=attacked.strengthened.others,
            suspicion=self.scanned.score,
        )
        return Cure(self.patient.proto, found, attacked.right)

    def _suspicion(self, proto: onnx.ModelProto, square: Trigger) -> float:
        """What a scan would say of a model by the square that exchanges most."""
        own, gone = self.trial.predicted(proto, (square,), self.chosen_on)
        return shipped().moving_score(scattered(own, gone))

    def _sent_to(self, triggers: Sequence[SyntheticTrigger]) -> dict[SyntheticTrigger, IntArray]:
        """Of each trigger (N,) where the model as it came sends held-out images that it moves."""
        own, *gone = self.trial.predicted(self.patient.proto, triggers, self.held_out)
        found = dict[SyntheticTrigger, IntArray]()
        for trigger, after in zip(triggers, gone, strict=True):
            everywhere = np.full(len(self.trial.source), _NOWHERE)
            everywhere[self.held_out] = np.where(after == own, _NOWHERE, after)
            found[trigger] = everywhere
        return found


def scanned_square(square: SquareEvidence, size: tuple[int, int]) -> Trigger:
    """The square that a scan found, for images of (H, W)."""
    mask = np.zeros((1, *size), np.float32)
    rows, columns = (slice(start, start + square.side) for start in (square.top, square.left))
    mask[:, rows, columns] = 1
    return Trigger(mask, np.array(square.colour, np.float32)[:, None, None] * mask, 0)
