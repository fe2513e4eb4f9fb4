"""Rounds of curing: fit, mend, search the result again, and fit on what still works, too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from torch import nn

from hardener.arrays import IntArray
from hardener.data.splits import stratified_sample
from hardener.documents.repair import RepairRound
from hardener.documents.scan import ScanResult
from hardener.measuring.intervals import paired_loss
from hardener.measuring.quality import Counts
from hardener.measuring.suitability import check_accuracy
from hardener.model.training import with_weights
from hardener.progress import Progress, counting
from hardener.repairing.choice import SMALL_SUCCESS, another_round_helps, strongest_first
from hardener.repairing.closed_form import Sums
from hardener.repairing.cure import Patient
from hardener.repairing.distillation import DistillationSettings
from hardener.repairing.renewed_search import Search
from hardener.repairing.stamping import Pool, in_strengths
from hardener.repairing.trials import Attacked, Trial, measured_by, round_of
from hardener.repairing.universal import UNIVERSAL, universal_triggers
from hardener.scanning.evidence import LEAST_SUCCESS
from hardener.triggers.additive import ADDITIVE, AdditiveTrigger
from hardener.triggers.families import strengthened
from hardener.triggers.family import SyntheticTrigger
from hardener.triggers.patch import Trigger

WEIGHTS = (0.03, 0.1, 0.3, 1.0)
"""Of stamped images beside clean ones in the closed form, gentlest first."""

UNIVERSAL_SIZE = 0.5
"""Of universal perturbations, beside the median size of the scan's additive triggers."""

_MENDED = 0.03
"""Accuracy that distilling may bring back: a closed form that costs more is not tried."""

_WEIGHED_IMAGES = 256
_SEARCHED_IMAGES = 512
"""Of more, every second, third and so on is searched on: fewer than twice as many."""


@dataclass(frozen=True, eq=False)
class Cured:
    """A model as it came, or with a cure's weights, and what was measured of it.

    Attributes:
        proto: the model.
        network: the same, from normalised images to logits.
        attacked: counts on the choosing images.
        weight: of stamped images beside clean ones.
    """

    proto: onnx.ModelProto
    network: nn.Module
    attacked: Attacked
    weight: float


@dataclass(frozen=True, eq=False)
class Rounds:
    """What all rounds of one repair share.

    Attributes:
        patient: the model, and the images to fit on.
        scanned: its scan.
        trial: how a model is measured.
        chosen_on: positions of the choosing images.
        groups: (N,) which of all images are alike.
        budget: allowed loss of accuracy.
        distillation: the budget of each cure's last step.
        seed: of every draw.
    """

    patient: Patient
    scanned: ScanResult
    trial: Trial
    chosen_on: IntArray
    groups: IntArray
    budget: float
    distillation: DistillationSettings
    seed: int

    def run(
        self, triggers: Sequence[SyntheticTrigger], most: int, progress: Progress, *, force: bool
    ) -> tuple[list[onnx.ModelProto], list[RepairRound], Trial]:
        """Cures until the model no longer answers, or another round does not help.

        Args:
            triggers: the scan's.
            most: at most so many rounds.
            progress: told how far it is.
            force: goes on where the model does not know the images, or where no trigger of the
                second search works.

        Returns:
            The model as it came and every cure, what was measured of each, and by what.

        Raises:
            InconclusiveError: the model does not know the images, or there is no trigger that a
                cure could be measured by.
        """
        images = self.patient.images
        search = Search(
            images[:: max(1, len(images) // _SEARCHED_IMAGES)],
            self.patient.preprocessing,
            tuple(dict.fromkeys(trigger.label for trigger in triggers)),
            self.patient.device,
        )
        searching = counting(progress, "inverting triggers", search.steps * (most + 1))
        spread = most * len(search.labels) * UNIVERSAL.steps
        spreading = counting(progress, "universal triggers", spread)
        distilled = most * len(WEIGHTS) * self.distillation.steps
        distilling = counting(progress, "distilling", distilled)

        others = search.triggers(self.patient.frozen, self.seed, searching)
        by_trigger = self._counted(self.patient.proto, others)
        unseen = measured_by(by_trigger, self.scanned.kinds, force=force)
        rounds = replace(self, trial=replace(self.trial, unseen=unseen))
        came, answers = rounds._as_it_came(triggers, force=force)
        protos, found = [came.proto], [round_of(came.attacked, answers, self.scanned, 0)]
        # What was planted is often solid, and stands where one of these squares covers it.
        known = [*triggers, *map(strengthened, triggers), *solid(by_trigger, unseen)]
        universal: list[AdditiveTrigger] = []
        network, sums = self.patient.frozen, dict[str, Sums]()
        for number in range(1, most + 1):
            seed = self.seed + number
            fresh = self._universal(network, search, seed, spreading)
            universal += fresh
            own = self.patient.sums((known, fresh), seed)
            sums = {name: sums[name] + one if sums else one for name, one in own.items()}
            cure = rounds._fitted(came, sums, (known, universal), seed, distilling)
            network = cure.network
            answers = self._counted(cure.proto, search.triggers(network, seed, searching))
            protos.append(cure.proto)
            count = len(known) + len(universal)
            found.append(round_of(cure.attacked, answers, self.scanned, count, cure.weight))
            if not another_round_helps(found):
                break
            more = [one for one, counts in answers.items() if counts.success_rate > SMALL_SUCCESS]
            known += [*more, *map(strengthened, more)]
        return protos, found, rounds.trial

    def _as_it_came(
        self, triggers: Sequence[SyntheticTrigger], *, force: bool
    ) -> tuple[Cured, Mapping[SyntheticTrigger, Counts]]:
        """The model before any cure, and what the scan's triggers do to it."""
        proto = self.patient.proto
        attacked, counts = self.trial.counts(proto, self.chosen_on, triggers)
        if not force:
            accuracy = attacked.clean.correct / attacked.clean.n
            check_accuracy(accuracy, self.scanned.accuracy, "these images")
        came = Cured(proto, self.patient.frozen, attacked, 0.0)
        return came, dict(zip(triggers, counts, strict=True))

    def _counted(
        self, proto: onnx.ModelProto, triggers: Sequence[SyntheticTrigger]
    ) -> Mapping[SyntheticTrigger, Counts]:
        """What triggers do to a model, on the choosing images."""
        trial = replace(self.trial, unseen=())
        return dict(zip(triggers, trial.counts(proto, self.chosen_on, triggers)[1], strict=True))

    def _universal(
        self, network: nn.Module, search: Search, seed: int, on_step: Callable[[int], None]
    ) -> list[AdditiveTrigger]:
        """Universal triggers toward every label that is searched, in several strengths."""
        size = UNIVERSAL_SIZE * self.scanned.medians[ADDITIVE.name]
        shared = network, search.images, search.preprocessing
        found = [
            universal_triggers(*shared, label, size, seed + label, search.device, on_step)
            for label in search.labels
        ]
        return in_strengths([trigger for of_label in found for trigger in of_label])

    def _fitted(
        self,
        came: Cured,
        sums: Mapping[str, Sums],
        pool: Pool,
        seed: int,
        on_step: Callable[[int], None],
    ) -> Cured:
        """The cure that leaves least of the attack within the budget, else the gentlest."""
        labels = self.trial.source.labels[self.chosen_on]
        few = self.chosen_on[stratified_sample(labels, _WEIGHED_IMAGES, self.seed)]
        solved = {weight: self.patient.solved(sums, weight) for weight in WEIGHTS}
        weighed = {
            weight: self.trial.counts(self.patient.with_weights(new), few)[0]
            for weight, new in solved.items()
        }
        before = np.isin(few, self.chosen_on[came.attacked.right]).mean()
        order = strongest_first(weighed, float(before) - self.budget - _MENDED)
        for weight in order:
            mended = self.patient.finished(
                solved[weight], pool, self.distillation, seed, on_step
            )
            proto = self.patient.with_weights(mended)
            attacked, _ = self.trial.counts(proto, self.chosen_on)
            if self.loss(came.attacked, attacked) <= self.budget:
                break
        return Cured(proto, self.patient.network(mended), attacked, weight)

    def loss(self, before: Attacked, after: Attacked) -> float:
        """Accuracy lost on the choosing images."""
        return paired_loss(before.right, after.right, self.groups[self.chosen_on]).value


def solid(
    found: Mapping[SyntheticTrigger, Counts], measuring: Sequence[SyntheticTrigger]
) -> list[SyntheticTrigger]:
    """Of a search's triggers the opaque patches that work, but for those that measure: squares."""
    return [
        trigger
        for trigger, counts in found.items()
        if isinstance(trigger, Trigger)
        and trigger not in measuring
        and np.isin(trigger.mask, (0, 1)).all()
        and counts.hits >= LEAST_SUCCESS * counts.others
    ]
